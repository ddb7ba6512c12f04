// Before the first paint, so that nothing flashes; the only script that is not a module.
const theme = localStorage.getItem("casola.theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
