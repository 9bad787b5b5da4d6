// Sorting and searching tables, and the chart of a stock's page. Without this script the tables show the same figures.
"use strict";

function sortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const valueOf = (row, index) => {
    // A row without a forecast has fewer cells; it stays at the end.
    const cell = row.cells.length === heads.length ? row.cells[index] : index === 0 ? row.cells[0] : null;
    if (!cell || cell.textContent.trim() === "–") return null;
    const text = "value" in cell.dataset ? cell.dataset.value : cell.textContent.trim();
    return text === "" ? null : text;
  };
  heads.forEach((head, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => ({ row, value: valueOf(row, index) }));
      const numbers = rows.every(({ value }) => value === null || value !== "" && !Number.isNaN(Number(value)));
      rows.sort((one, other) => {
        if (one.value === null || other.value === null) return (one.value === null) - (other.value === null);
        const order = numbers ? Number(one.value) - Number(other.value) : one.value.localeCompare(other.value);
        return descending ? -order : order;
      });
      body.append(...rows.map(({ row }) => row));
    });
  });
}

function searchable(field) {
  const table = document.getElementById(field.dataset.search);
  const count = document.querySelector(`[data-count="${field.dataset.search}"]`);
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, text: row.textContent.toLowerCase() }));
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { row, text } of rows) {
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    count.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
  });
}

function drawChart(element) {
  const { history, fan, earlier, currency, decimals } = JSON.parse(document.getElementById("chart-data").textContent);
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  const faded = (name, share) => `color-mix(in srgb, ${color(name)} ${share}%, transparent)`;
  // One axis of sessions: the past ones and those that are forecast. The fan opens at the last close.
  const times = [...new Set([...history[0], ...earlier[0], ...fan[0]])].sort((one, other) => one - other);
  const place = new Map(times.map((time, index) => [time, index]));
  const spread = (from, values) => {
    const column = new Array(times.length).fill(null);
    from.forEach((time, index) => (column[place.get(time)] = values[index]));
    return column;
  };
  const last = history[0].length - 1;
  const opened = (values) =>
    last < 0 ? spread(fan[0], values) : spread([history[0][last], ...fan[0]], [history[1][last], ...values]);
  const [, medians, low80, high80, low95, high95] = earlier;
  const data = [
    times,
    spread(history[0], history[1]),
    spread(earlier[0], medians),
    ...[low80, high80, low95, high95].map((values) => spread(earlier[0], values)),
    ...fan.slice(1).map(opened),
  ];
  const line = (label, name, more) => ({ label, stroke: color(name), width: 1.5, points: { show: false }, ...more });
  const bound = () => ({ stroke: "transparent", width: 0, points: { show: false } });
  const series = [
    {},
    line("actual", "ink"),
    line("forecast one session before", "net", { width: 0, points: { show: true, size: 4, fill: color("net"), width: 0 } }),
    ...Array.from({ length: 4 }, bound),
    line("median ahead", "net", { width: 2 }),
    ...Array.from({ length: 8 }, bound), // the 98% interval is written below the chart and not drawn
  ];
  const bands = [
    { series: [6, 5], fill: faded("net", 8) },
    { series: [4, 3], fill: faded("net", 14) },
    { series: [13, 12], fill: faded("net", 12) },
    { series: [11, 10], fill: faded("net", 22) },
    { series: [9, 8], fill: faded("net", 34) },
  ];
  const axis = { stroke: color("dim"), grid: { stroke: color("line"), width: 1 }, ticks: { stroke: color("line"), width: 1 } };
  // 3 Dec, with the year where one begins: dates as they are read anywhere.
  const dates = (form) => (time) => new Date(time * 1000).toLocaleDateString("en-GB", { timeZone: "UTC", ...form });
  const day = dates({ day: "numeric", month: "short" });
  const year = dates({ year: "numeric" });
  const days = (_, ticks) => ticks.map((time, at) => day(time) + (at && year(time) === year(ticks[at - 1]) ? "" : `\n${year(time)}`));
  const size = () => ({ width: element.clientWidth, height: Math.max(260, Math.min(440, element.clientWidth * 0.45)) });
  const output = document.getElementById("chart-text");
  const price = (value) => value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  const span = (index, from, name) =>
    data[from][index] == null ? [] : [`${name} ${price(data[from][index])} – ${price(data[from + 1][index])}`];
  const describe = (index) => {
    if (index == null) return;
    const parts = [new Date(times[index] * 1000).toISOString().slice(0, 10)];
    if (data[1][index] != null) parts.push(`actual ${price(data[1][index])}`);
    if (data[2][index] != null) parts.push(`forecast one session before ${price(data[2][index])}`);
    parts.push(...span(index, 3, "80%"), ...span(index, 5, "95%"));
    if (data[7][index] != null && times[index] > history[0][last]) {
      parts.push(`median ${price(data[7][index])}`, ...span(index, 8, "50%"), ...span(index, 10, "80%"), ...span(index, 12, "95%"), ...span(index, 14, "98%"));
    }
    output.textContent = parts.join("   ");
  };
  const chart = new uPlot(
    {
      ...size(),
      series,
      bands,
      axes: [
        { ...axis, space: 70, values: days },
        {
          ...axis,
          label: currency || null,
          size: decimals > 5 ? 110 : 60,
          values: (_, ticks) => ticks.map((tick) => tick.toLocaleString("en", { maximumFractionDigits: Math.max(decimals, 4) })),
        },
      ],
      legend: { show: false },
      tzDate: (time) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
      cursor: { points: { size: 7 } },
      hooks: { setCursor: [(self) => describe(self.cursor.idx)] },
    },
    data,
    element,
  );
  // The newest quarter; a double click shows the whole year.
  chart.setScale("x", { min: times[Math.max(0, times.length - 65)], max: times[times.length - 1] });
  let at = times.length - 1;
  element.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    at = Math.min(Math.max(at + step, 0), times.length - 1);
    if (times[at] < chart.scales.x.min) chart.setScale("x", { min: times[0], max: times[times.length - 1] });
    chart.setCursor({ left: chart.valToPos(times[at], "x"), top: chart.valToPos(data[1][at] ?? data[7][at], "y") });
    describe(at);
  });
  new ResizeObserver(() => chart.setSize(size())).observe(element);
}

// Airflow shows us in a frame whose own links may not lead out of it; one of the page around it may.
function leadOut(link) {
  if (window.parent === window) return;
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const outer = window.parent.document.createElement("a");
    outer.href = link.href;
    outer.target = link.target;
    outer.rel = "noopener";
    outer.click();
  });
}

document.querySelectorAll("a[target]").forEach(leadOut);
document.querySelectorAll("table[data-sortable]").forEach(sortable);
document.querySelectorAll("input[data-search]").forEach(searchable);
const chart = document.getElementById("chart");
if (chart) drawChart(chart);
