"""Style and script of a report's page; they stand in the page, which so needs no other file and no network."""

CSS = """
:root { --ink: #1d2329; --pale: #65707b; --line: #dfe3e8; --wash: #f5f7f9; --best: #d9f0e3; --second: #eef6f1;
  --link: #0060a0; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 88rem; padding: 1.5rem 2rem 4rem; color: var(--ink); background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 1.9rem; margin: 0 0 .2rem; } h2 { font-size: 1.4rem; margin: 2.6rem 0 .4rem;
  border-bottom: 2px solid var(--line); padding-bottom: .2rem; } h3 { font-size: 1.1rem; margin: 1.8rem 0 .3rem; }
p, ul { max-width: 62rem; } .pale, .legend { color: var(--pale); } .legend { font-size: .88rem; }
a { color: var(--link); } nav { margin: .8rem 0; } nav a { margin-right: 1.1rem; white-space: nowrap; }
code { font: .86em ui-monospace, Menlo, Consolas, monospace; background: var(--wash); padding: .1em .3em;
  border-radius: 3px; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .75rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
  vertical-align: top; }
th.text, td.text { text-align: left; } td.long { white-space: normal; min-width: 22rem; text-align: left; }
thead th { border-bottom: 2px solid #aeb6bf; background: var(--wash); position: sticky; top: 0; }
table.sortable thead th { cursor: pointer; user-select: none; } table.sortable thead th:hover { background: #e8edf1; }
th[aria-sort=ascending]::after { content: " ▴"; } th[aria-sort=descending]::after { content: " ▾"; }
td.best { background: var(--best); font-weight: 650; } td.second { background: var(--second); }
td small { display: block; color: var(--pale); font-size: .76rem; font-weight: 400; }
tbody tr:hover td:not(.best):not(.second) { background: var(--wash); }
details { margin: .5rem 0; } summary { cursor: pointer; font-weight: 600; }
.note { border-left: 4px solid #e0a100; background: #fff9e8; padding: .35rem .8rem; margin: .5rem 0;
  max-width: 62rem; overflow-wrap: anywhere; }
.chart { max-width: 100%; height: auto; display: block; margin: .6rem 0; }
.pictures figure { margin: 0 0 1.1rem; } .pictures .row { display: grid; gap: .5rem; }
.pictures .cell { min-width: 0; }
.pictures img { width: 100%; height: auto; display: block; border: 1px solid var(--line); }
.pictures img.pixels { image-rendering: pixelated; } .pictures .composite { cursor: pointer; }
.pictures .cell span { display: block; font-size: .8rem; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.pictures .cell span.name { font-weight: 600; } .pictures span.score { color: var(--pale); }
.pictures span.top { color: #00703c; font-weight: 650; } .pictures { overflow-x: auto; }
button { font: inherit; padding: .25rem .8rem; border: 1px solid #aeb6bf; background: #fff; border-radius: 4px;
  cursor: pointer; } button[aria-pressed=true] { background: var(--ink); color: #fff; border-color: var(--ink); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .5rem 0; }
dt { color: var(--pale); } dd { margin: 0; overflow-wrap: anywhere; }
[hidden] { display: none !important; }
@media print { nav, button { display: none; } thead th { position: static; } }
"""

# Tables sort by a click on a column's head, and again the other way round. Pictures come in the order that a button
# names. While a method's picture is held down, the truth stands in its place.
SCRIPT = """
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
"""
