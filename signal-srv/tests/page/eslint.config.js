import js from '@eslint/js';
import globals from 'globals';

/** The page must not have a way to turn text into markup or code; the server's CSP forbids it at run time too. */
const sinks = ['innerHTML', 'outerHTML', 'insertAdjacentHTML', 'write', 'writeln', 'srcdoc', 'cssText'];

export default [
    js.configs.recommended,
    {
        files: ['**/web/*.js'],
        languageOptions: { ecmaVersion: 2022, sourceType: 'module', globals: globals.browser },
    },
    {
        files: ['**/page/*.js'],
        languageOptions: { ecmaVersion: 2022, sourceType: 'module', globals: { ...globals.node, ...globals.browser } },
    },
    {
        linterOptions: { reportUnusedDisableDirectives: 'error' },
        rules: {
            'no-restricted-properties': ['error', ...sinks.map((property) => ({ property }))],
            'no-eval': 'error',
            'no-implied-eval': 'error',
            'no-new-func': 'error',
            'no-var': 'error',
            'prefer-const': 'error',
            eqeqeq: 'error',
            curly: 'error',
            'no-shadow': 'error',
            'no-unused-vars': ['error', { argsIgnorePattern: '^_', caughtErrors: 'none' }],
        },
    },
];
