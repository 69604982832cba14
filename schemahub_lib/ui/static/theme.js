// The button for light or dark. What was chosen holds in this browser; until then it is what the system has.
export default {
  template: `<button type="button" class="theme" aria-label="light or dark" @click="toggle"><i class="q-icon material-icons" aria-hidden="true">contrast</i></button>`,
  mounted() {
    const chosen = localStorage.getItem("dark");
    if (chosen) Quasar.Dark.set(chosen === "yes");
  },
  methods: {
    toggle() {
      Quasar.Dark.toggle();
      localStorage.setItem("dark", Quasar.Dark.isActive ? "yes" : "no");
    },
  },
};
