"use strict";

// A table that its headers sort.

function make(tag, name = "", text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.textContent = text;
  return element;
}

function makeButton(text, onClick) {
  const button = make("button", "", text);
  button.type = "button";
  button.addEventListener("click", onClick);
  return button;
}

// smaller first; numbers before texts, missing and NaN last in both orders
function compare(one, other, way) {
  const rank = (value) => (value === null || value === undefined || Number.isNaN(value) ? 2 : typeof value === "number" ? 0 : 1);
  if (rank(one) !== rank(other)) return rank(one) - rank(other);
  if (rank(one) === 2) return 0;
  return way * (rank(one) ? String(one).localeCompare(String(other), undefined, { numeric: true }) : Math.sign(one - other) || 0);
}

function showCell(value) {
  return value === null || value === undefined ? "–" : typeof value === "number" ? showValue(value) : String(value);
}

// Columns are {name, read(row), show(row)?, build(row)?, isText?}; `build` returns the content of a row's header.
function makeTable(caption, columns, rows) {
  const table = make("table");
  const [head, body] = [make("thead"), make("tbody")];
  const heads = make("tr");
  let sorted = null, way = 1;
  const entries = rows.map((row) => {
    const line = make("tr");
    const cells = columns.map((column) => {
      const cell = make(column.build ? "th" : "td", column.isText ? "text" : "");
      if (column.build) {
        cell.scope = "row";
        cell.append(column.build(row));
      }
      return cell;
    });
    line.append(...cells);
    return { row, line, cells };
  });
  columns.forEach((column) => {
    const cell = make("th", column.isText ? "text" : "");
    cell.scope = "col";
    const button = makeButton(column.name, () => {
      way = sorted === column ? -way : 1;
      sorted = column;
      for (const [index, other] of [...heads.children].entries()) {
        if (columns[index] === column) other.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
        else other.removeAttribute("aria-sort");
      }
      const ordered = [...entries].sort((one, other) => compare(column.read(one.row), column.read(other.row), way));
      body.append(...ordered.map((entry) => entry.line));
    });
    button.title = column.name;
    cell.append(button);
    heads.append(cell);
  });
  head.append(heads);
  body.append(...entries.map((entry) => entry.line));
  table.append(make("caption", "unseen", caption), head, body);
  // write all cells again
  function fill() {
    for (const { row, cells } of entries) {
      for (const [index, column] of columns.entries()) {
        if (!column.build) cells[index].textContent = column.show ? column.show(row) : showCell(column.read(row));
      }
    }
  }
  fill();
  return { table, fill, entries };
}
