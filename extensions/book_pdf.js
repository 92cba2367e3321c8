// What extensions/book_pdf.py asks of the browser. Each is a function of its own; none runs by itself.

const SHORT = 280; // CSS pixels, a third of the height of the paper

// Make everything as wide as the paper at most: formulas and tables get smaller, lines of code that wrap are marked.
async function fit() {
  await MathJax.startup.promise;
  await document.fonts.ready;
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  for (const formula of document.querySelectorAll('mjx-container[display="true"]')) {
    const box = formula.parentElement;
    const drawn = formula.querySelector("mjx-math").getBoundingClientRect().width;
    const room = box.getBoundingClientRect().width - (box.querySelector(".eqno")?.offsetWidth ?? 0) * 2;
    if (drawn > room) formula.style.fontSize = `${(parseFloat(formula.style.fontSize) * room) / drawn}%`;
  }
  for (const table of document.querySelectorAll("article table")) {
    const room = table.parentElement.getBoundingClientRect().width;
    for (let size = 0.9; table.getBoundingClientRect().width > room + 0.5 && size > 0.5; size -= 0.05) {
      table.style.fontSize = `${size}em`;
    }
  }
  // What is short is not parted; what is long has to be.
  for (const block of document.querySelectorAll("article :is(table, pre, .solution, .exercise, .admonition)")) {
    if (block.getBoundingClientRect().height < SHORT) block.style.breakInside = "avoid";
  }
  for (const line of document.querySelectorAll("pre .line")) {
    const height = parseFloat(getComputedStyle(line).lineHeight);
    const rows = Math.round(line.getBoundingClientRect().height / height);
    if (rows > 1) line.dataset.marks = "\u21aa\n".repeat(rows).trim(); // one to spare: print may wrap once more
  }
}

function number(numbers) {
  for (const entry of document.querySelectorAll("nav.contents a")) {
    entry.querySelector(".number").textContent = numbers[decodeURIComponent(entry.hash.slice(1))];
  }
}
