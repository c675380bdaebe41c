// Before anything is painted, so that no page flashes in the wrong colours. Everything else about it is in theme.js.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("whiteboard/theme");
  } catch (error) {
    console.warn("this browser keeps nothing for us", error);
  }
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
