// A minimal host for MCP Apps: it uses the official bridge and shows one view in a sandboxed frame.
import { AppBridge, PostMessageTransport } from "@modelcontextprotocol/ext-apps/app-bridge";

window.mount = async (html, hostContext) => {
  document.body.replaceChildren();
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-scripts";
  frame.style.cssText = "border: 0; width: 100%; height: 700px; display: block";
  document.body.style.margin = "0";
  document.body.append(frame);
  const bridge = new AppBridge(null, { name: "test host", version: "1" }, { serverResources: {}, openLinks: {} }, { hostContext });
  bridge.onreadresource = ({ uri }) => window.readResource(uri);
  window.links = [];
  bridge.onopenlink = async ({ url }) => {
    window.links.push(url);
    return {};
  };
  const initialized = new Promise((resolve) => bridge.addEventListener("initialized", resolve));
  window.sizes = [];
  bridge.addEventListener("sizechange", (size) => {
    window.sizes.push(size);
    if (!hostContext.containerDimensions?.height) frame.style.height = `${size.height}px`;
  });
  await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  frame.srcdoc = html;
  await initialized;
  window.bridge = bridge;
  return { app: bridge.getAppVersion(), capabilities: bridge.getAppCapabilities() };
};
