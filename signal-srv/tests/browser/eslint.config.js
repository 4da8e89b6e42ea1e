import globals from 'globals';

import page from '../page/eslint.config.js';

/** The page's own rules; here Node and the page meet in one file, and the functions of in_page.js run in the page. */
export default [
    ...page,
    {
        files: ['**/browser/**/*.js', 'image/test/*.js'],
        languageOptions: { ecmaVersion: 2022, sourceType: 'module', globals: { ...globals.node, ...globals.browser } },
    },
];
