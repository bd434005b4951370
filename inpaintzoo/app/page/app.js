// The page: what buttons, keys, mouse and fingers do.

import { Mask, drawStroke, newCanvas, tinted } from "./mask.js";
import { bitmap, bitmapOf, request } from "./server.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const view = new View($("stage"), $("picture"), $("drawing"));
const THUMB = 96;
const HOVER_REST = 250; // milliseconds that the mouse rests before the object under it is looked up

let models = [];
let segmenters = [];
let documents = []; // one for each opened file
let current = null; // the document that is shown
let lastMask = null;
let stroke = null;
let hover = null; // canvas of the object under the mouse
let known = null; // objects that the segmenter found by itself: {id, segmenter, objects}
let group = 1; // number of the object that clicks belong to
let original = false;
let job = null;
let cursor = null; // of the keyboard
let spaceHeld = false;

// -- documents: a file, its fills and its mask --------------------------------------------------------------------

async function openFiles(files) {
  const images = [...files].filter((file) => file.type.startsWith("image/") || /\.(tiff?|hei[cf]|avif)$/i.test(file.name));
  if (!images.length) return say("There is no picture among these files.", true);
  documents = images.map((file) => ({ file, history: [], at: 0, mask: null }));
  await show(documents[0]);
}

async function load(document) {
  if (document.history.length) return;
  say(`Opening ${document.file.name}`);
  const picture = await (await request("/pictures", { image: document.file })).json();
  await addToHistory(document, [picture]);
  document.mask = new Mask(document.history[0].image.width, document.history[0].image.height);
}

async function show(document) {
  await attempt(async () => {
    await load(document);
    current = document;
    group++;
    hover = known = cursor = null;
    const { width, height } = document.mask.canvas;
    view.resize();
    view.fit(width, height);
    $("welcome").hidden = true;
    $("size").max = Math.max(60, Math.round(Math.min(width, height) / 3));
    const { name } = document.history[0].picture;
    say(`${name}, ${width} × ${height}`);
    update();
    await findAll();
  });
}

async function addToHistory(document, pictures) {
  for (const picture of pictures) document.history.push({ picture, image: await bitmap(picture.shown) });
  document.at = document.history.length - pictures.length;
}

const entry = () => current.history[current.at];

// -- drawing the page ------------------------------------------------------------------------------------------------

function update() {
  drawPicture();
  drawMask();
  const open = Boolean(current);
  for (const id of ["undo", "redo", "clear", "fill", "download", "copy", "again", "save-mask", "load-mask"]) {
    $(id).disabled = !open || (id === "fill" && job !== null);
  }
  $("compare").hidden = !open || current.at === 0;
  $("cancel").hidden = $("progress").hidden = job === null;
  const tool = toolName();
  for (const each of document.querySelectorAll(".for-brush")) each.hidden = tool === "select";
  for (const each of document.querySelectorAll(".for-select")) each.hidden = tool !== "select";
  $("size-shown").value = $("size").value;
  $("grow-shown").value = $("grow").value < 0 ? "auto" : $("grow").value;
  $("samples-row").hidden = !models.find((model) => model.name === $("model").value)?.stochastic;
  $("batch").hidden = documents.length < 2;
  list($("history"), open ? current.history : [], (each, i) => ({
    image: each.image,
    text: i ? `fill ${i}` : "original",
    current: each === entry(),
    act: () => {
      current.at = i;
      $("slider").value = 0;
      update();
    },
  }));
  list($("pictures"), documents, (each) => ({
    image: each.history[each.at]?.image,
    text: each.file.name,
    current: each === current,
    act: () => show(each),
  }));
}

function list(place, items, about) {
  place.replaceChildren(
    ...items.map((item, i) => {
      const { image, text, current, act } = about(item, i);
      const button = document.createElement("button");
      if (image) {
        if (!item.thumb || item.thumbOf !== image) {
          const scale = THUMB / Math.max(image.width, image.height);
          item.thumb = newCanvas(Math.max(1, image.width * scale), Math.max(1, image.height * scale));
          item.thumb.getContext("2d").drawImage(image, 0, 0, item.thumb.width, item.thumb.height);
          item.thumbOf = image;
        }
        button.append(item.thumb);
      }
      const label = document.createElement("span");
      label.textContent = label.title = text; // names are text, never markup
      button.append(label);
      button.setAttribute("aria-current", current);
      button.addEventListener("click", act);
      return button;
    }),
  );
}

function drawPicture() {
  const context = view.context($("picture"));
  if (!current) return;
  const before = current.history[0].image;
  const { width, height } = before;
  context.drawImage(original ? before : entry().image, 0, 0, width, height);
  const split = ($("slider").value / 100) * width;
  if (current.at && split > 0 && !original) {
    context.drawImage(before, 0, 0, split, height, 0, 0, split, height);
    context.fillStyle = "#fff";
    context.fillRect(split - 1 / view.scale, 0, 2 / view.scale, height);
  }
}

function drawMask() {
  const context = view.context($("drawing"));
  if (!current || original) return;
  context.drawImage(current.mask.canvas, 0, 0);
  if (hover) context.drawImage(hover, 0, 0, current.mask.canvas.width, current.mask.canvas.height);
  for (const [points, colour] of [[current.mask.last?.at, "#16a34a"], [current.mask.last?.away, "#dc2626"]]) {
    for (const [x, y] of points ?? []) {
      context.beginPath();
      context.arc(x + 0.5, y + 0.5, 6 / view.scale, 0, 7);
      context.fillStyle = colour;
      context.fill();
      context.lineWidth = 2 / view.scale;
      context.strokeStyle = "#fff";
      context.stroke();
    }
  }
  if (cursor) {
    context.lineWidth = 1.5 / view.scale;
    for (const [colour, grow] of [["#000", 0], ["#fff", 1.5 / view.scale]]) {
      context.strokeStyle = colour;
      context.beginPath();
      context.arc(...cursor, (toolName() === "select" ? 6 / view.scale : $("size").value / 2) + grow, 0, 7);
      context.stroke();
    }
  }
}

function say(text, error = false) {
  $("status").textContent = text;
  $("status").className = error ? "error" : "";
}

async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") say(sentence(error.message), true);
  } finally {
    update();
  }
}

// It begins with a capital letter, unless with the name of a file.
const sentence = (text) =>
  (/^[a-z]+ /.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text) + (/[.!?]$/.test(text) ? "" : ".");

// -- brush and eraser ------------------------------------------------------------------------------------------------

const toolName = () => document.querySelector("[name=tool]:checked").value;

function beginStroke(point) {
  stroke = { kind: "stroke", erase: toolName() === "eraser", size: Number($("size").value), points: [point] };
  drawStrokeFrom(0);
}

function drawStrokeFrom(from) {
  drawStroke(current.mask.canvas.getContext("2d"), stroke, from);
  if (stroke.erase) return drawMask();
  // The screen gets the new piece only: scaling the whole mask for each move would take long.
  const context = view.context($("drawing"), false);
  context.save();
  context.beginPath();
  const { width, height } = current.mask.canvas;
  context.rect(0, 0, width, height);
  context.clip();
  drawStroke(context, stroke, from);
  context.restore();
}

function endStroke() {
  const done = stroke;
  stroke = null;
  current.mask.add(done);
  update();
  if ($("at-once").checked && !done.erase) fill();
}

// -- objects ---------------------------------------------------------------------------------------------------------

const inside = ([x, y]) => x >= 0 && y >= 0 && x < current.mask.canvas.width && y < current.mask.canvas.height;
const whole = ([x, y]) => [Math.floor(x), Math.floor(y)];

function segment(at, away, options) {
  const fields = {
    picture: entry().picture.id,
    segmenter: $("segmenter").value,
    at: at.length ? at.map((point) => point.join(",")).join("+") : null,
    away: away.map((point) => point.join(",")),
    grow: $("grow").value < 0 ? null : $("grow").value,
    answer: "json",
  };
  return request("/segment", fields, options).then((answer) => answer.json());
}

async function click(point, not) {
  if (!inside(point)) return;
  const last = current.mask.last?.group === group ? current.mask.last : { at: [], away: [] };
  const at = not ? last.at : [...last.at, whole(point)];
  const away = not ? [...last.away, whole(point)] : last.away;
  if (!at.length) return say("Click on the object first, then beside it.", true);
  await select(at, away);
}

async function select(at, away) {
  const [document, mine] = [current, group];
  hover = null;
  await attempt(async () => {
    say("Looking for the object");
    const found = await segment(at, away);
    const image = tinted(await bitmapOf(found.hole));
    document.mask.add({ kind: "object", group: mine, at, away, image });
    const names = found.objects.map((each) => each.name).filter(Boolean).join(", ");
    say([names ? `Selected: ${names}.` : "Selected.", ...found.notes.map(sentence)].join(" "));
  });
}

async function findAll() {
  const segmenter = segmenters.find((each) => each.name === $("segmenter").value);
  if (!current || toolName() !== "select" || !segmenter?.finds_all) return;
  const { id } = entry().picture;
  if (known?.id === id && known.segmenter === segmenter.name) return;
  await attempt(async () => {
    const { objects } = await segment([], []);
    known = { id, segmenter: segmenter.name, objects };
    for (const each of objects) each.image = tinted(await bitmapOf(each.mask));
  });
}

let resting = 0;
let looking = null;

function hoverAt(point) {
  clearTimeout(resting);
  if (known?.id === entry().picture.id && known.segmenter === $("segmenter").value) {
    const found = known.objects.filter((each) => each.image && under(each, whole(point)));
    found.sort((a, b) => area(a) - area(b));
    hover = found.length ? placed(found[0]) : null;
    return drawMask();
  }
  if (hover) {
    hover = null;
    drawMask();
  }
  if (!inside(point) || job) return;
  resting = setTimeout(async () => {
    looking?.abort();
    looking = new AbortController();
    try {
      const found = await segment([whole(point)], [], { signal: looking.signal });
      hover = placed({ ...found.objects[0], image: tinted(await bitmapOf(found.objects[0].mask)) });
      drawMask();
    } catch {
      // A click will say it.
    }
  }, HOVER_REST);
}

const area = ({ box: [left, top, right, bottom] }) => (right - left) * (bottom - top);

function under({ box: [left, top, right, bottom], image }, [x, y]) {
  if (x < left || y < top || x >= right || y >= bottom) return false;
  return image.getContext("2d").getImageData(x - left, y - top, 1, 1).data[3] > 0;
}

function placed({ box, image }) {
  const canvas = newCanvas(current.mask.canvas.width, current.mask.canvas.height);
  canvas.getContext("2d").drawImage(image, box[0], box[1]);
  return canvas;
}

// -- fill ------------------------------------------------------------------------------------------------------------

async function fill() {
  if (!current || job) return;
  await attempt(async () => {
    const mask = await current.mask.file();
    if (!mask) throw new Error("Nothing is marked: draw over what shall go, or click on an object.");
    await fillWith(current, mask);
  });
}

async function fillWith(document, mask) {
  job = crypto.getRandomValues(new Uint32Array(2)).join("-"); // randomUUID needs https, which a phone's address lacks
  update();
  const watch = setInterval(() => watchJob(job), 500);
  say("Filling");
  try {
    const stochastic = !$("samples-row").hidden;
    const fields = {
      picture: document.history[document.at].picture.id,
      mask,
      polarity: "white",
      model: $("model").value,
      samples: stochastic ? $("samples").value : 1,
      job,
      answer: "json",
    };
    const { pictures, notes } = await (await request("/fill", fields)).json();
    lastMask = document.mask.canvas;
    await addToHistory(document, pictures);
    document.mask = new Mask(lastMask.width, lastMask.height);
    group++;
    known = hover = null;
    $("slider").value = 0;
    say(["Done.", ...notes.map(sentence)].join(" "));
    if (pictures.length > 1) choose(document, pictures);
  } finally {
    clearInterval(watch);
    job = null;
  }
}

async function watchJob(name) {
  try {
    const { state, before, seconds } = await (await request(`/jobs/${name}`)).json();
    if (name === job) say(state === "waiting" ? `Waiting: ${before} before you` : `Filling: ${Math.round(seconds)} s`);
  } catch {
    // It has just ended.
  }
}

function choose(document, pictures) {
  const first = document.history.length - pictures.length;
  const buttons = pictures.map((picture, i) => {
    const button = window.document.createElement("button");
    const image = new Image();
    image.src = picture.shown;
    image.alt = `Fill ${i + 1}`;
    button.append(image);
    button.addEventListener("click", () => {
      document.at = first + i;
      $("choose").close();
      update();
    });
    return button;
  });
  $("choose").querySelector("div").replaceChildren(...buttons);
  $("choose").showModal();
}

async function fillAll() {
  await attempt(async () => {
    const mask = await current.mask.file();
    if (!mask) throw new Error("Nothing is marked: draw over what shall go in all pictures.");
    const { width, height } = current.mask.canvas;
    const failed = [];
    for (const each of documents) {
      try {
        await load(each);
        if (each.mask.canvas.width !== width || each.mask.canvas.height !== height) throw new Error("it has another size");
        await fillWith(each, mask);
      } catch (error) {
        if (error.message.startsWith("cancelled")) throw error;
        failed.push(`${each.file.name}: ${error.message}`);
      }
    }
    const done = `${documents.length - failed.length} of ${documents.length} pictures filled.`;
    say([done, ...failed.map(sentence)].join(" "), failed.length > 0);
  });
}

// -- files and clipboard ---------------------------------------------------------------------------------------------

function save(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}

async function copy() {
  await attempt(async () => {
    if (!navigator.clipboard) throw new Error("The browser copies only from https or from its own machine; use Download.");
    const { image } = entry();
    const canvas = newCanvas(image.width, image.height);
    canvas.getContext("2d").drawImage(image, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
    say("Copied.");
  });
}

async function loadMask(file) {
  await attempt(async () => {
    const image = await createImageBitmap(file).catch(() => {
      throw new Error(`${file.name} is not a picture that the browser reads.`);
    });
    const { width, height } = current.mask.canvas;
    if (image.width !== width || image.height !== height) {
      throw new Error(`The mask is ${image.width} × ${image.height}, and the picture ${width} × ${height}.`);
    }
    current.mask.add({ kind: "mask", image: tinted(image) });
  });
}

// -- mouse and fingers -----------------------------------------------------------------------------------------------

const pointers = new Map();
let pan = null;

function pinch() {
  const [a, b] = [...pointers.values()];
  return { x: (a.clientX + b.clientX) / 2, y: (a.clientY + b.clientY) / 2,
    apart: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) };
}

$("drawing").addEventListener("pointerdown", (event) => {
  if (!current) return;
  cursor = null;
  $("drawing").setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, event);
  if (pointers.size === 2) { // the second finger: the first one did not mean to draw
    stroke = null;
    current.mask.render();
    pan = pinch();
    drawMask();
  } else if (spaceHeld || event.button === 1) {
    pan = { x: event.clientX, y: event.clientY };
  } else if (toolName() !== "select" && event.button === 0) {
    beginStroke(view.pixel(event));
  }
});

$("drawing").addEventListener("pointermove", (event) => {
  if (!current) return;
  if (!pointers.has(event.pointerId)) {
    if (toolName() === "select" && event.pointerType === "mouse") hoverAt(view.pixel(event));
    return;
  }
  const before = pointers.get(event.pointerId);
  pointers.set(event.pointerId, event);
  if (pan) {
    if (pan.apart && pointers.size < 2) return; // the finger that is left after two
    const now = pointers.size === 2 ? pinch() : { x: event.clientX, y: event.clientY };
    view.move(now.x - pan.x, now.y - pan.y);
    const frame = $("stage").getBoundingClientRect();
    if (now.apart && pan.apart) view.zoom(now.apart / pan.apart, now.x - frame.left, now.y - frame.top);
    pan = now;
    requestAnimationFrame(() => (drawPicture(), drawMask()));
  } else if (stroke) {
    const from = stroke.points.length;
    const moves = event.getCoalescedEvents?.() ?? [];
    stroke.points.push(...(moves.length ? moves : [event]).map((each) => view.pixel(each)));
    drawStrokeFrom(from);
  } else if (toolName() === "select") {
    pointers.set(event.pointerId, before); // where the click began
  }
});

function lift(event) {
  const began = pointers.get(event.pointerId);
  pointers.delete(event.pointerId);
  if (!began || !current) return;
  if (pan) {
    if (pointers.size === 0) pan = null;
    return;
  }
  if (stroke) endStroke();
  else if (toolName() === "select" && event.type === "pointerup") {
    click(view.pixel(began), $("away").checked || event.altKey || event.button === 2);
  }
}

$("drawing").addEventListener("pointerup", lift);
$("drawing").addEventListener("pointercancel", lift);
$("drawing").addEventListener("contextmenu", (event) => event.preventDefault());
$("drawing").addEventListener("pointerleave", () => {
  clearTimeout(resting);
  if (hover) {
    hover = null;
    drawMask();
  }
});
$("drawing").addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const frame = $("stage").getBoundingClientRect();
    view.zoom(Math.exp(-event.deltaY / 400), event.clientX - frame.left, event.clientY - frame.top);
    drawPicture();
    drawMask();
  },
  { passive: false },
);

// -- keys ------------------------------------------------------------------------------------------------------------

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function moveCursor([dx, dy], far) {
  const { width, height } = current.mask.canvas;
  const step = (far ? 50 : 8) / view.scale;
  const [x, y] = cursor ?? [width / 2, height / 2];
  cursor = [Math.min(width - 1, Math.max(0, x + dx * step)), Math.min(height - 1, Math.max(0, y + dy * step))];
  drawMask();
}

function pickTool(name) {
  document.querySelector(`[name=tool][value=${name}]`).checked = true;
  update();
  findAll();
}

function act(event) {
  const onPicture = event.target === $("drawing");
  const control = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (control && key === "z") return event.shiftKey ? redo() : undo();
  if (control && key === "y") return redo();
  if (control && key === "c" && current && getSelection().isCollapsed) return copy();
  if (control || event.altKey || !current) return false;
  if (onPicture && ARROWS[key]) return moveCursor(ARROWS[key], event.shiftKey);
  if (onPicture && key === "Enter" && cursor) {
    if (toolName() === "select") return click(cursor, event.shiftKey || $("away").checked);
    beginStroke(cursor);
    return endStroke();
  }
  if (onPicture && key === "Tab" && !event.shiftKey) return showOriginal(true);
  if (onPicture && key === "Escape") return $("fill").focus();
  if (key === "Enter" && !event.target.matches("button, summary, a, select")) return fill();
  const tool = { b: "brush", e: "eraser", s: "select" }[key];
  if (tool) return pickTool(tool);
  if (key === "[" || key === "]") return resizeBrush(key === "[" ? 1 / 1.25 : 1.25);
  if (key === "n") return nextObject();
  if (key === "0") return zoom(0);
  if (key === "+" || key === "=") return zoom(1.25);
  if (key === "-") return zoom(1 / 1.25);
  const step = { PageUp: -1, PageDown: 1 }[key];
  const other = documents[documents.indexOf(current) + step];
  if (step && other) return show(other);
  if (key === " " && !event.target.matches("button, summary, select, [type=checkbox]")) {
    spaceHeld = true;
    return true;
  }
  return false;
}

document.addEventListener("keydown", (event) => {
  if ($("choose").open || event.target.type === "number") return;
  if (event.target.tagName === "SELECT" && !event.ctrlKey) return;
  if (act(event) !== false) event.preventDefault();
});
document.addEventListener("keyup", (event) => {
  if (event.key === " ") spaceHeld = false;
  if (event.key === "Tab") showOriginal(false);
});
window.addEventListener("blur", () => {
  spaceHeld = false;
  showOriginal(false);
});

function showOriginal(shown) {
  if (original === shown) return;
  original = shown;
  drawPicture();
  drawMask();
}

function undo() {
  if (!current) return;
  current.mask.undo();
  update();
}

function redo() {
  if (!current) return;
  current.mask.redo();
  update();
}

function resizeBrush(factor) {
  const size = Number($("size").value);
  $("size").value = factor > 1 ? Math.max(size + 1, size * factor) : Math.min(size - 1, size * factor);
  update();
}

function nextObject() {
  group++;
  say("Click on the next object.");
}

function zoom(factor) {
  if (factor) view.zoom(factor);
  else view.fit(current.mask.canvas.width, current.mask.canvas.height);
  drawPicture();
  drawMask();
}

// -- buttons ---------------------------------------------------------------------------------------------------------

function picks(button, input, use) {
  $(button).addEventListener("click", () => $(input).click());
  $(input).addEventListener("change", () => {
    if ($(input).files.length) use([...$(input).files]);
    $(input).value = "";
  });
}

picks("open", "files", openFiles);
picks("open-folder", "folder", openFiles);
picks("load-mask", "mask-file", ([file]) => loadMask(file));
const buttons = {
  undo,
  redo,
  clear: () => (current.mask.add({ kind: "clear" }), group++, update()),
  fill,
  cancel: () => request(`/jobs/${job}`, null, { method: "DELETE" }).catch(() => {}),
  "next-object": nextObject,
  download: () => save(entry().picture.file, entry().picture.name),
  copy,
  again: () => {
    if (!lastMask) return say("There is no earlier mask yet.", true);
    if (lastMask.width !== current.mask.canvas.width || lastMask.height !== current.mask.canvas.height) {
      return say("The last mask belongs to a picture of another size.", true);
    }
    current.mask.add({ kind: "mask", image: lastMask });
    update();
  },
  "save-mask": async () => {
    const file = await current.mask.file();
    if (!file) return say("Nothing is marked.", true);
    const address = URL.createObjectURL(file);
    save(address, `${current.file.name.replace(/\.\w+$/, "")}-mask.png`);
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  },
  "fill-all": fillAll,
  "download-all": () => {
    for (const { history, at } of documents) {
      if (at) save(history[at].picture.file, history[at].picture.name);
    }
  },
};
for (const [id, act] of Object.entries(buttons)) $(id).addEventListener("click", act);
for (const each of document.querySelectorAll("[name=tool]")) each.addEventListener("change", () => pickTool(each.value));
for (const id of ["size", "model"]) $(id).addEventListener("input", update);
$("slider").addEventListener("input", drawPicture);
$("segmenter").addEventListener("change", findAll);
$("grow").addEventListener("input", update);
$("grow").addEventListener("change", () => {
  const last = current?.mask.last;
  if (last?.group === group) select(last.at, last.away);
});

document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...event.dataTransfer.files]; // now: they are gone after the first wait
  openFiles(entries.some((each) => each.isDirectory) ? (await Promise.all(entries.map(filesIn))).flat() : files);
});

async function filesIn(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  for (;;) { // it gives a hundred at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const each of some) found.push(...(await filesIn(each)));
  }
}

document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length) openFiles(files);
});
new ResizeObserver(() => {
  view.resize();
  if (!current) return;
  if (view.fitted) zoom(0);
  else update();
}).observe($("stage"));

await attempt(async () => {
  ({ models, segmenters } = await (await request("/models")).json());
  for (const [id, choices] of [["model", models], ["segmenter", segmenters]]) {
    $(id).replaceChildren(...choices.map(({ name }) => new Option(name)));
  }
});
