// Before anything is drawn: as light or dark as the Airflow around us, which keeps its choice here; without one, as the system is.
(() => {
  let chosen = "";
  try {
    chosen = localStorage.getItem("theme") || localStorage.getItem("chakra-ui-color-mode") || "";
  } catch {
    // storage is switched off: the system decides
  }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
