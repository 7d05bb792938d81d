(function () {
  "use strict";
  var root = document.documentElement;
  var charts = Array.prototype.slice.call(document.querySelectorAll(".chart"));
  root.classList.add("scripted");

  // One button for all code.
  var toggle = document.getElementById("code-toggle");
  if (toggle) {
    toggle.hidden = false;
    toggle.addEventListener("click", function () {
      var shown = root.classList.toggle("show-code");
      toggle.setAttribute("aria-pressed", String(shown));
      toggle.textContent = shown ? "Hide code" : "Show code";
      document.querySelectorAll("details.code").forEach(function (cell) {
        cell.open = shown;
      });
    });
  }

  // The contents list: open beside the text, folded above it; the current section is marked.
  var nav = document.getElementById("contents");
  if (nav) {
    var wide = window.matchMedia("(min-width: 1200px)");
    var fold = function () {
      nav.firstElementChild.open = wide.matches;
    };
    wide.addEventListener("change", fold);
    fold();
    var links = Array.prototype.slice.call(nav.querySelectorAll("a"));
    var targets = links.map(function (link) {
      return document.getElementById(decodeURIComponent(link.getAttribute("href").slice(1)));
    });
    var mark = function () {
      var current = -1;
      targets.forEach(function (target, index) {
        if (target.getBoundingClientRect().top < window.innerHeight / 3) current = index;
      });
      links.forEach(function (link, index) {
        if (index === current) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      });
    };
    window.addEventListener("scroll", mark, { passive: true });
    mark();
  }

  // plotly.js does not break lines: titles and footers are broken here to the chart's width.
  var canvas = document.createElement("canvas").getContext("2d");
  var TOKEN = /<br\s*\/?>|<[^>]*>|[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]|[^\s<\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]+|\s+|</g;

  function wrap(text, width, font) {
    canvas.font = font.size + "px " + font.family;
    var bold = 1.06; // titles may be bold, which the measure does not know
    var lines = [""];
    var used = 0;
    (String(text).match(TOKEN) || []).forEach(function (token) {
      if (/^<br/i.test(token)) {
        lines.push("");
        used = 0;
        return;
      }
      var size = token[0] === "<" ? 0 : canvas.measureText(token).width * bold;
      if (used > 0 && used + size > width && token.trim()) {
        lines[lines.length - 1] = lines[lines.length - 1].replace(/\s+$/, "");
        lines.push("");
        used = 0;
      }
      lines[lines.length - 1] += token;
      used += size;
    });
    return lines;
  }

  function breaks(text) {
    return text.split(/<br\s*\/?>/i).length;
  }

  function fitTexts(box) {
    var full = box._fullLayout;
    var original = box.original.layout;
    var update = {};
    var size = full._size;
    var title = original.title && (original.title.text || original.title);
    var above = 0;
    var below = 0;
    if (typeof title === "string") {
      var paper = full.title.xref === "paper";
      var lines = wrap(title, box.clientWidth - (paper ? size.l : 0) - 16, full.title.font);
      above = (lines.length - breaks(title)) * full.title.font.size * 1.3;
      update["title.text"] = lines.join("<br>");
      if (box.original.freeTitle) {
        // Left to itself, plotly.js centres the first line and lets the others run into the plot.
        update["title.yanchor"] = "top";
        update["title.y"] = 1 - (box.original.t - full.title.font.size * 1.3) / 2 / full.height;
      }
    }
    // Footers under the plot, and the titles of charts beside each other above it.
    var higher = 0;
    (original.annotations || []).forEach(function (note, index) {
      var shown = full.annotations[index];
      if (shown.xref !== "paper" || shown.yref !== "paper" || !note.text) return;
      if (shown.y >= 0 && shown.y < 1) return;
      var room = box.clientWidth - size.l - 8;
      if (shown.xanchor === "center") room = 2 * Math.min(shown.x, 1 - shown.x) * size.w;
      var lines = wrap(note.text, room, shown.font);
      var added = (lines.length - breaks(note.text)) * shown.font.size * 1.3;
      update["annotations[" + index + "].text"] = lines.join("<br>");
      if (shown.y < 0) below = Math.max(below, added);
      else higher = Math.max(higher, added);
    });
    update["margin.t"] = box.original.t + above + higher;
    update["margin.b"] = box.original.b + below;
    return Plotly.relayout(box, update);
  }

  // The factor by which print shrinks what is wider than an A4 page within its margins.
  var PAGE_WIDTH = 670;

  function measure() {
    root.classList.add("measuring");
    document.querySelectorAll("[data-fit]").forEach(function (frame) {
      var chart = frame.classList.contains("chart");
      var inner = chart ? frame.offsetWidth : frame.scrollWidth;
      frame.style.setProperty("--fit", String(Math.min(1, PAGE_WIDTH / inner)));
    });
    root.classList.remove("measuring");
  }

  var drawn = charts.map(function (box) {
    var spec = JSON.parse(document.getElementById(box.id + "-data").textContent);
    var layout = JSON.parse(JSON.stringify(spec.layout));
    return Plotly.newPlot(box, {
      data: spec.data,
      layout: spec.layout,
      frames: spec.frames,
      config: {
        displayModeBar: false, // it covers the title; a double click resets the axes
        responsive: false
      }
    }).then(function () {
      var full = box._fullLayout;
      box.original = {
        layout: layout,
        t: full.margin.t,
        b: full.margin.b,
        freeTitle: full.title.y === "auto"
      };
      return fitTexts(box);
    });
  });

  // Redraw when the width of the column changes, and not while the page is laid out for print.
  var width = document.body.clientWidth;
  var waiting = 0;
  window.addEventListener("resize", function () {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(function () {
      if (document.body.clientWidth === width || window.matchMedia("print").matches) return;
      width = document.body.clientWidth;
      Promise.all(charts.map(function (box) {
        return Promise.resolve(Plotly.Plots.resize(box)).then(function () {
          return fitTexts(box);
        });
      })).then(measure);
    }, 100);
  });

  Promise.all(drawn).then(function () {
    measure();
    root.setAttribute("data-ready", "true");
  });
})();
