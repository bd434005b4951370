// The mask as a list of steps, so that each can be undone: strokes, objects that were clicked, and whole masks.

const COLOUR = "#ff2d55";

export function newCanvas(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

// White on black, as the server sends masks, into the mask's colour on nothing.
export function tinted(image) {
  const canvas = newCanvas(image.width, image.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const words = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < words.length; i++) words[i] = words[i] & 0x80 ? 0xff552dff : 0; // red's highest bit; ABGR
  context.putImageData(pixels, 0, 0);
  return canvas;
}

export class Mask {
  constructor(width, height) {
    this.canvas = newCanvas(width, height);
    this.steps = [];
    this.undone = [];
  }

  add(step) {
    this.steps.push(step);
    this.undone = [];
    this.render();
  }

  undo() {
    if (this.steps.length) this.undone.push(this.steps.pop());
    this.render();
  }

  redo() {
    if (this.undone.length) this.steps.push(this.undone.pop());
    this.render();
  }

  get last() {
    return this.steps[this.steps.length - 1];
  }

  // Later clicks on an object replace its earlier outline; what a `clear` hides need not be drawn.
  get visible() {
    const from = this.steps.findLastIndex((step) => step.kind === "clear") + 1;
    const steps = this.steps.slice(from);
    return steps.filter((step, i) => !step.group || !steps.slice(i + 1).some((later) => later.group === step.group));
  }

  render() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (const step of this.visible) {
      if (step.kind === "stroke") drawStroke(context, step);
      else context.drawImage(step.image, 0, 0, this.canvas.width, this.canvas.height);
    }
  }

  // A PNG file, white on black; null if nothing is masked. A pixel that a stroke touches is hole.
  async file() {
    const { width, height } = this.canvas;
    const pixels = this.canvas.getContext("2d").getImageData(0, 0, width, height);
    const words = new Uint32Array(pixels.data.buffer);
    let any = false;
    for (let i = 0; i < words.length; i++) {
      const hole = words[i] >>> 24;
      any ||= hole > 0;
      words[i] = hole ? 0xffffffff : 0xff000000;
    }
    if (!any) return null;
    const canvas = newCanvas(width, height);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }
}

export function drawStroke(context, { erase, size, points }, from = 0) {
  context.save();
  context.globalCompositeOperation = erase ? "destination-out" : "source-over";
  context.strokeStyle = COLOUR;
  context.lineWidth = size;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  const [[x, y], ...others] = points.slice(Math.max(0, from - 1));
  context.moveTo(x, y);
  context.lineTo(x + 0.01, y); // a line without a length is not drawn, not even its round ends
  for (const point of others) context.lineTo(...point);
  context.stroke();
  context.restore();
}
