/**
 * Buttons of which one is chosen: by click, or by the arrow keys once one has the focus.
 * @param {HTMLElement} group
 * @param {(button: HTMLElement) => void} choose
 */
export function joinRadios(group, choose) {
  group.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("[role=radio]") : null;
    if (button instanceof HTMLElement) choose(button);
  });
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const buttons = radiosOf(group);
    const index = buttons.findIndex((button) => button.contains(document.activeElement));
    const next = buttons[(index + step + buttons.length) % buttons.length];
    event.preventDefault();
    event.stopPropagation();
    choose(next);
    next.focus();
  });
}

/**
 * @param {HTMLElement} group
 * @param {(button: HTMLElement) => boolean} isChosen
 */
export function showChosen(group, isChosen) {
  const buttons = radiosOf(group);
  const any = buttons.some(isChosen);
  buttons.forEach((button, index) => {
    const chosen = isChosen(button);
    button.setAttribute("aria-checked", String(chosen));
    button.tabIndex = chosen || (!any && index === 0) ? 0 : -1;
  });
}

/** @param {HTMLElement} group */
function radiosOf(group) {
  return /** @type {HTMLElement[]} */ ([...group.querySelectorAll("[role=radio]")]);
}
