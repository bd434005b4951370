// A click on a column's head sorts the table, a second click reverses it.
document.querySelectorAll("table.sortable").forEach(function (table) {
  table.querySelectorAll("thead th").forEach(function (head, column) {
    head.tabIndex = 0;
    function sort() {
      var body = table.tBodies[0], rows = Array.from(body.rows);
      var start = head.dataset.better === "higher" ? "descending" : "ascending";
      var other = start === "ascending" ? "descending" : "ascending";
      var direction = head.getAttribute("aria-sort") === start ? other : start;
      var sign = direction === "ascending" ? 1 : -1;
      function key(row) { return row.cells[column].dataset.value; }
      rows.sort(function (a, b) {
        var x = key(a), y = key(b);
        if (x === "" || y === "") return (x === "") - (y === "");
        if (!isNaN(x) && !isNaN(y)) return sign * (x - y);
        return sign * x.localeCompare(y);
      });
      table.querySelectorAll("thead th").forEach(function (one) { one.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", direction);
      rows.forEach(function (row) { body.appendChild(row); });
    }
    head.addEventListener("click", sort);
    head.addEventListener("keydown", function (event) { if (event.key === "Enter") sort(); });
  });
});

// Buttons choose the order of the pictures. While a method's picture is held down, the truth takes its place.
document.querySelectorAll(".pictures").forEach(function (box) {
  var figures = Array.from(box.querySelectorAll("figure"));
  box.querySelectorAll("button").forEach(function (button) {
    button.addEventListener("click", function () {
      var by = button.dataset.order;
      function place(figure) { return figure.dataset[by] === "" ? Infinity : Number(figure.dataset[by]); }
      figures.slice().sort(function (a, b) { return place(a) < place(b) ? -1 : 1; }).forEach(function (figure) {
        figure.hidden = figure.dataset[by] === "";
        box.appendChild(figure);
      });
      box.querySelectorAll("button").forEach(function (one) { one.setAttribute("aria-pressed", one === button); });
    });
  });
  box.querySelectorAll("img.composite").forEach(function (image) {
    var own = image.src, truth = image.closest("figure").querySelector("img.truth").src;
    image.addEventListener("pointerdown", function (event) { event.preventDefault(); image.src = truth; });
    ["pointerup", "pointerleave", "pointercancel"].forEach(function (end) {
      image.addEventListener(end, function () { image.src = own; });
    });
  });
});
