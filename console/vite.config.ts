import { defineConfig } from 'vite'

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  build: {
    target: ['chrome123', 'firefox121', 'safari17.5'],
    // One file each: a console is small, and a policy without exceptions wants no loader in the page.
    modulePreload: false,
    assetsInlineLimit: 0,
  },
})
