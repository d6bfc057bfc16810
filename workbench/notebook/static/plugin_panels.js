// Calls of tools, and the panels of plugins.

function toolRow({ call, state, mark, outcome, progress, fraction, result }) {
  const row = make("div", { class: `wb-tool wb-is-${state}` }, make("span", { class: "wb-mark", title: state, style: `--wb-call: var(--wb-call-${state})` }, mark), make("code", {}, call));
  if (fraction !== null) row.append(make("progress", { value: fraction, max: 1 }));
  row.append(make("span", { class: "wb-ms" }, outcome));
  if (progress || result) row.append(make("div", { class: "wb-result" }, progress || `→ ${result}`));
  return row;
}

// A panel's text is text; its HTML and its widgets are the plugin's code.
class PluginPanels {
  constructor(model) {
    this.model = model;
    this.root = make("div", { class: "wb-panels" });
    this.known = new Map();
  }
  show() {
    for (const { key, title, kind, body } of this.model.get("panels")) {
      const known = this.known.get(key);
      if (known?.kind === kind && known.body === body) continue;
      const element = known?.element ?? make("div");
      if (!known) this.root.append(make("div", { class: "wb-panel" }, make("div", { class: "wb-title" }, title), element));
      this.known.set(key, { kind, body, element });
      element.className = `wb-panel-${kind}`;
      if (kind === "html") element.replaceChildren(document.createRange().createContextualFragment(body));
      else if (kind === "model") this.embed(element, body);
      else element.replaceChildren(body);
    }
  }
  async embed(element, id) {
    try {
      const manager = this.model.widget_manager;
      const view = await manager.create_view(await manager.get_model(id));
      const send = (type) => view.luminoWidget?.processMessage({ type }); // as whoever attaches a widget does
      send("before-attach");
      element.replaceChildren(view.el);
      send("after-attach");
    } catch (error) {
      element.replaceChildren(`this widget cannot be shown here: ${error}`);
    }
  }
}
