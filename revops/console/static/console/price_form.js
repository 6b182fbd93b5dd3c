"use strict";

// Of a price's form, only the fields of the chosen model and kind are shown. What is hidden is not sent, and so is as
// usual. Without this script all fields are there, and the server says which do not belong.
const facts = JSON.parse(document.getElementById("price-facts")?.textContent ?? "null");
const model = document.querySelector("select[name=model]");
const kind = document.querySelector("select[name=kind]");

function show(element, isShown) {
  if (!element) return;
  element.hidden = !isShown;
  element.style.display = isShown ? "" : "none";
  for (const input of element.querySelectorAll("input, select, textarea")) input.disabled = !isShown;
}

function line(name) {
  return document.querySelector(`[name="${name}"]`)?.closest(".field-line");
}

function showTiers(columns) {
  const group = document.getElementById("tiers-group");
  if (!group) return;
  group.hidden = columns.length === 0;
  group.style.display = columns.length ? "" : "none";
  for (const name of facts.tierFields) {
    const isShown = columns.includes(name);
    for (const cell of group.querySelectorAll(`td.field-${name}, th.column-${name}`)) show(cell, isShown);
  }
  for (const input of group.querySelectorAll("[name$='-up_to'], [name$='-DELETE'], [name$='-id']")) input.disabled = false;
}

function showFields() {
  const chosen = facts.models[model.value] ?? { words: "", fields: facts.ofModels, tiers: facts.tierFields };
  const isUsage = kind.value === facts.usage;
  for (const name of facts.ofModels) show(line(name), chosen.fields.includes(name));
  for (const name of facts.ofUsage) show(line(name), !kind.value || isUsage);
  for (const name of facts.notOfUsage) show(line(name), !isUsage);
  for (const row of document.querySelectorAll("fieldset .field-row:has(.field-line)")) {
    row.style.display = [...row.querySelectorAll(".field-line")].some((one) => !one.hidden) ? "" : "none";
  }
  for (const fieldset of document.querySelectorAll("fieldset.module:has(details)")) {
    const lines = [...fieldset.querySelectorAll(".field-line")];
    if (lines.length) fieldset.style.display = lines.some((one) => !one.hidden) ? "" : "none";
  }
  showTiers(chosen.tiers);
  note.textContent = chosen.words;
}

const note = document.createElement("p");
if (facts && model && kind) {
  note.className = "help model-words";
  (line("model")?.querySelector(":scope > .grow") ?? model.parentElement).append(note);
  model.addEventListener("change", showFields);
  kind.addEventListener("change", showFields);
  document.addEventListener("formset:added", showFields);
  showFields();
}
