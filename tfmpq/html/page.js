"use strict";
(() => {
  const make = (name, text, attributes = {}) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };

  // What is said of a point or square, beside the pointer or below what has the focus.
  const tip = document.body.appendChild(make("div", "", { id: "tip", role: "presentation" }));
  tip.hidden = true;
  const say = (element, x, y) => {
    tip.textContent = element.dataset.tip;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - box.width - 4))}px`;
    tip.style.top = `${y + 16 + box.height > innerHeight ? Math.max(4, y - box.height - 12) : y + 16}px`;
  };
  const told = (event) => (event.target instanceof Element ? event.target.closest("[data-tip]") : null);
  for (const kind of ["pointermove", "pointerdown"]) {  // a finger comes down without having moved
    document.addEventListener(kind, (event) => {
      const element = told(event);
      if (element) say(element, event.clientX, event.clientY);
      else tip.hidden = true;
    });
  }
  document.addEventListener("focusin", (event) => {
    const element = told(event);
    if (!element || !element.matches(":focus-visible")) return;
    const box = element.getBoundingClientRect();
    say(element, (box.left + box.right) / 2, box.bottom - 10);
  });
  document.addEventListener("focusout", () => { tip.hidden = true; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  // Columns that can be sorted: numbers downwards first, names upwards.
  const sortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", head.textContent, { type: "button", class: "sort" });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const known = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
        const rows = [...table.tBodies[0].rows];
        const numeric = head.classList.contains("number");
        const before = head.getAttribute("aria-sort");
        const down = before ? before === "ascending" : numeric;
        const amount = (text) => {
          const found = Number.parseFloat(text.replaceAll(",", ""));
          return Number.isNaN(found) ? -Infinity : found;
        };
        const order = (a, b) => (numeric ? amount(known(a)) - amount(known(b)) || 0 : known(a).localeCompare(known(b)));
        rows.sort((a, b) => (down ? order(b, a) : order(a, b)));
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        table.tBodies[0].append(...rows);
      });
    });
  };
  document.querySelectorAll("table.sortable").forEach(sortable);

  // What there is to copy.
  const copied = async (source) => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      return true;
    } catch {
      getSelection().selectAllChildren(source);
      return document.execCommand("copy");
    }
  };
  document.querySelectorAll(".copy").forEach((source) => {
    const button = make("button", "copy", { type: "button", class: "do-copy" });
    const live = make("span", "", { "aria-live": "polite" });
    const words = source.querySelector("code") ?? source;
    if (source.matches("pre")) source.before(button, live);
    else source.after(button, live);
    button.addEventListener("click", async () => {
      live.textContent = (await copied(words)) ? " copied" : " press Ctrl+C";
      setTimeout(() => { live.textContent = ""; }, 2000);
    });
  });

  // A map is one stop of the Tab key; arrows walk over it.
  document.querySelectorAll(".map").forEach((map) => {
    const squares = [...map.querySelectorAll("a")];
    map.addEventListener("keydown", (event) => {
      const at = squares.indexOf(document.activeElement);
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -at, End: squares.length - 1 - at };
      if (at < 0 || !(event.key in steps)) return;
      event.preventDefault();
      const next = squares[Math.max(0, Math.min(at + steps[event.key], squares.length - 1))];
      squares[at].tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  });

  // Layers of one of many files, which only the data hold.
  const choose = (name) => {
    document.querySelectorAll(".chosen").forEach((element) => element.classList.remove("chosen"));
    document.getElementById(name)?.classList.add("chosen");
    document.querySelectorAll("a.point").forEach((point) => {
      if (point.getAttribute("href") === `#${name}`) point.classList.add("chosen");
    });
  };
  const data = JSON.parse(document.getElementById("data")?.textContent ?? "null");
  const panel = document.getElementById("panel");
  const drawn = (kind, share) => {
    const ns = "http://www.w3.org/2000/svg";
    const bar = document.createElementNS(ns, "svg");
    const rect = document.createElementNS(ns, "rect");
    for (const [key, value] of Object.entries({ class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none" }))
      bar.setAttribute(key, value);
    bar.setAttribute("aria-hidden", "true");
    for (const [key, value] of Object.entries({ class: kind, y: 1, width: 100 * share, height: 8 })) rect.setAttribute(key, value);
    bar.append(rect);
    return bar;
  };
  const cell = (text, number, value, bar) => {
    const element = make("td", text, number ? { class: "number" } : {});
    if (value !== undefined) element.dataset.value = value;
    if (bar) element.append(bar);
    return element;
  };
  const show = (name) => {
    const file = data?.files[name];
    if (!file || !panel) return false;
    const table = make("table", "", { class: "sortable named" });
    const head = table.createTHead().insertRow();
    data.columns.forEach((title, i) => head.append(make("th", title, { scope: "col", ...(i > 1 ? { class: "number" } : {}) })));
    const body = table.createTBody();
    const most = Math.max(1, ...file.layers.map((layer) => layer[3]));
    const worst = Math.max(...file.layers.map((layer) => layer[5] ?? 0)) || 1;
    for (const [which, bits, form, bytes, decibels, error] of file.layers) {
      const row = body.insertRow();
      row.append(
        make("th", data.names[which], { scope: "row" }),
        cell(data.forms[form], false),
        cell(`${bits}`, true),
        cell(bytes.toLocaleString("en"), true, bytes, drawn(`bits${bits}`, bytes / most)),
        cell(decibels === null ? "exact" : decibels.toFixed(1), true, decibels ?? Infinity),
        cell(error === null ? "-" : `${(100 * error).toFixed(1)} %`, true, error ?? -1, error === null ? null : drawn("error", error / worst)),
      );
    }
    const wide = make("div", undefined, { class: "wide", tabindex: "0", role: "region", "aria-label": `table: ${file.title}` });
    wide.append(table);
    sortable(table);
    panel.replaceChildren(make("h3", file.title, { tabindex: "-1" }), wide);
    choose(name);
    panel.scrollIntoView({ block: "nearest" });
    panel.querySelector("h3").focus({ preventScroll: true });
    return true;
  };
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest('a[href^="#"]') : null;
    if (!link) return;
    const name = link.getAttribute("href").slice(1);
    if (show(name)) event.preventDefault();
    else choose(name);
  });
})();
