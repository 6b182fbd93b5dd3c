"use strict";

// A box that asks the server what a price makes of a quantity, while one types. Its own fields have no names, so that
// they are not sent with the form around it.
for (const box of document.querySelectorAll("[data-calculator]")) {
  const form = box.closest("form");
  const answer = box.querySelector(".calculator-answer");
  const token = document.querySelector("[name=csrfmiddlewaretoken]");
  let asked = 0;
  let waiting = null;

  async function ask() {
    const number = ++asked;
    const sent = box.dataset.typed ? new FormData(form) : new FormData();
    if (box.dataset.typed) sent.set("calculator-typed", "yes");
    for (const part of box.querySelectorAll("[data-part]")) sent.set(`calculator-${part.dataset.part}`, part.value);
    try {
      const answered = await fetch(box.dataset.calculator, {
        method: "POST", body: sent, headers: { "X-CSRFToken": token.value }, credentials: "same-origin",
      });
      const text = await answered.text();
      if (number !== asked) return;
      if (answered.ok) answer.innerHTML = text;
      else answer.textContent = "It could not be calculated: reload the page and try again.";
    } catch {
      if (number === asked) answer.textContent = "The server cannot be reached.";
    }
  }

  function askSoon() {
    clearTimeout(waiting);
    waiting = setTimeout(ask, 250);
  }

  for (const place of box.dataset.typed ? [form] : [box]) {
    place.addEventListener("input", askSoon);
    place.addEventListener("change", askSoon);
  }
  document.addEventListener("formset:removed", askSoon);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.tagName === "INPUT") event.preventDefault();
  });
  ask();
}
