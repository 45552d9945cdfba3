export default {
  // The package loads its module from beside itself, which it would not find once it is bundled for development.
  optimizeDeps: { exclude: ["@cloudsignal/client"] },
  build: { target: "es2022" },
};
