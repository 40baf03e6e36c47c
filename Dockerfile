FROM python:3.12-slim

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY swanlab_mcp ./swanlab_mcp
RUN pip install --no-cache-dir -c constraints.txt '.[plot,server]' && useradd --create-home --uid 10001 swanlab

USER 10001
WORKDIR /home/swanlab
# MCP on standard input and output: run with -i and without -t
ENTRYPOINT ["swanlab-mcp-server"]
