"use strict";

// MCP Apps 2026-01-26: JSON-RPC over postMessage, with the parent window only
function connectHost(handlers) {
  const waiting = new Map();
  let last = 0;

  function send(message) {
    window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  }

  function answer({ id, method, params }) {
    const handler = Object.hasOwn(handlers, method) ? handlers[method] : null;
    if (id === undefined) {
      if (handler) handler(params ?? {});
    } else if (handler) {
      send({ id, result: handler(params ?? {}) ?? {} });
    } else {
      send({ id, error: { code: -32601, message: "This view has no such method" } });
    }
  }

  window.addEventListener("message", ({ source, data }) => {
    if (source !== window.parent || !data || data.jsonrpc !== "2.0") return;
    if (typeof data.method === "string") {
      answer(data);
    } else if (waiting.has(data.id)) {
      const { resolve, reject } = waiting.get(data.id);
      waiting.delete(data.id);
      if (data.error) reject(data.error);
      else resolve(data.result ?? {});
    }
  });

  return {
    notify: (method, params) => send({ method, params }),
    request(method, params) {
      last += 1;
      send({ id: last, method, params });
      return new Promise((resolve, reject) => waiting.set(last, { resolve, reject }));
    },
  };
}
