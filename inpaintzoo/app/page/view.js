// The picture in its frame: zoom, shift, and the way from a place on the screen to a pixel.

export class View {
  constructor(stage, ...canvases) {
    this.stage = stage;
    this.canvases = canvases;
    this.scale = 1; // screen pixels of a picture pixel
    this.x = 0; // of the picture's corner, in screen pixels
    this.y = 0;
    this.fitted = true; // whether all of it is shown, and as large as possible
  }

  resize() {
    for (const canvas of this.canvases) {
      canvas.width = Math.round(this.stage.clientWidth * devicePixelRatio);
      canvas.height = Math.round(this.stage.clientHeight * devicePixelRatio);
    }
  }

  fit(width, height) {
    const { clientWidth, clientHeight } = this.stage;
    this.scale = Math.min(clientWidth / width, clientHeight / height) || 1;
    this.x = (clientWidth - width * this.scale) / 2;
    this.y = (clientHeight - height * this.scale) / 2;
    this.fitted = true;
  }

  zoom(factor, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const scale = Math.min(32, Math.max(0.02, this.scale * factor));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
  }

  move(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
  }

  pixel(event) {
    const frame = this.stage.getBoundingClientRect();
    return [(event.clientX - frame.left - this.x) / this.scale, (event.clientY - frame.top - this.y) / this.scale];
  }

  // A canvas's context in which a unit is a pixel of the picture.
  context(canvas, clear = true) {
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (clear) context.clearRect(0, 0, canvas.width, canvas.height);
    const scale = this.scale * devicePixelRatio;
    context.setTransform(scale, 0, 0, scale, this.x * devicePixelRatio, this.y * devicePixelRatio);
    context.imageSmoothingEnabled = scale < 3;
    return context;
  }
}
