//! A source file split into what the compiler reads and what people read.
//!
//! Just enough of a lexer to know code from comment and literal; it never fails, because what does not
//! compile is the compiler's to report.

/// The languages of the repository that have fences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    JavaScript,
    Css,
}

/// A source file, line by line; all three have the same number of lines.
#[derive(Debug)]
pub(crate) struct Source {
    /// Comments and the contents of literals blanked; newlines kept.
    pub(crate) code: Vec<String>,
    /// Only the comments.
    pub(crate) comments: Vec<String>,
    /// Lines inside `#[cfg(test)] mod …`.
    pub(crate) in_tests: Vec<bool>,
}

/// A word of the code with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    /// Counted from 0.
    pub(crate) line: usize,
    /// What stands directly before it, spaces left out: `::`, `.` or nothing of interest.
    pub(crate) before: &'a str,
    /// The rest of its line, spaces left out at its beginning.
    pub(crate) after: &'a str,
}

impl Source {
    pub(crate) fn new(text: &str, language: Language) -> Self {
        let (code, comments) = split(text, language);
        let code: Vec<String> = code.lines().map(str::to_owned).collect();
        let comments = comments.lines().map(str::to_owned).collect();
        let in_tests = if language == Language::Rust { test_modules(&code) } else { vec![false; code.len()] };
        Self { code, comments, in_tests }
    }

    /// Lines that hold code and belong to no test module.
    pub(crate) fn lines_of_code(&self) -> usize {
        self.code.iter().zip(&self.in_tests).filter(|(line, in_tests)| !**in_tests && !line.trim().is_empty()).count()
    }

    /// Every identifier and keyword of the code.
    pub(crate) fn words(&self) -> impl Iterator<Item = Word<'_>> {
        self.code.iter().enumerate().flat_map(|(number, line)| words_of(number, line))
    }
}

fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

fn words_of(number: usize, line: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = 0;
    while let Some(begin) = line[rest..].find(is_word).map(|found| rest + found) {
        let end = line[begin..].find(|letter| !is_word(letter)).map_or(line.len(), |found| begin + found);
        let before = line[..begin].trim_end();
        let before = &before[before.trim_end_matches([':', '.']).len()..];
        words.push(Word { text: &line[begin..end], line: number, before, after: line[end..].trim_start() });
        rest = end;
    }
    words
}

/// Marks the lines of `#[cfg(test)] mod … { … }`.
fn test_modules(code: &[String]) -> Vec<bool> {
    let mut inside = vec![false; code.len()];
    let mut number = 0;
    while number < code.len() {
        if !code[number].trim().starts_with("#[cfg(test)]") {
            number += 1;
            continue;
        }
        let begin = number;
        let mut depth = 0_usize;
        let mut opened = false;
        'item: while number < code.len() {
            for letter in code[number].chars() {
                match letter {
                    '{' => {
                        depth += 1;
                        opened = true;
                    }
                    '}' => depth = depth.saturating_sub(1),
                    ';' if !opened => break 'item,
                    _ => {}
                }
                if opened && depth == 0 {
                    break 'item;
                }
            }
            number += 1;
        }
        let end = number.min(code.len() - 1);
        inside[begin..=end].fill(true);
        number = end + 1;
    }
    inside
}

/// Code without comments and literals, and comments without code: both with all newlines in place.
fn split(text: &str, language: Language) -> (String, String) {
    let mut lexer = Lexer {
        letters: text.chars().collect(),
        at: 0,
        code: String::with_capacity(text.len()),
        comments: String::new(),
        language,
    };
    while lexer.at < lexer.letters.len() {
        lexer.step();
    }
    (lexer.code, lexer.comments)
}

struct Lexer {
    letters: Vec<char>,
    at: usize,
    code: String,
    comments: String,
    language: Language,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.letters.get(self.at + ahead).copied()
    }

    fn starts(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(ahead, letter)| self.peek(ahead) == Some(letter))
    }

    fn take_code(&mut self) {
        if let Some(letter) = self.peek(0) {
            self.code.push(letter);
            self.comments.push(if letter == '\n' { '\n' } else { ' ' });
            self.at += 1;
        }
    }

    fn take_comment(&mut self) {
        if let Some(letter) = self.peek(0) {
            self.comments.push(letter);
            self.code.push(if letter == '\n' { '\n' } else { ' ' });
            self.at += 1;
        }
    }

    /// A letter of a literal's content: the line keeps its quotes, so it still counts as code.
    fn skip(&mut self) {
        if let Some(letter) = self.peek(0) {
            let blank = if letter == '\n' { '\n' } else { ' ' };
            self.code.push(blank);
            self.comments.push(blank);
            self.at += 1;
        }
    }

    fn step(&mut self) {
        let after_word = self.at > 0 && is_word(self.letters[self.at - 1]);
        if self.starts("//") && self.language != Language::Css {
            while self.peek(0).is_some_and(|letter| letter != '\n') {
                self.take_comment();
            }
        } else if self.starts("/*") {
            self.block_comment();
        } else if self.language == Language::Rust && !after_word && self.raw_string_guards().is_some() {
            self.raw_string();
        } else if self.peek(0) == Some('"') {
            self.literal('"');
        } else if self.peek(0) == Some('\'') && (self.language != Language::Rust || self.is_char_literal()) {
            self.literal('\'');
        } else if self.peek(0) == Some('`') && self.language == Language::JavaScript {
            self.literal('`');
        } else {
            self.take_code();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.letters.len() {
            if self.starts("/*") && (depth == 0 || self.language == Language::Rust) {
                depth += 1;
                self.take_comment();
            } else if self.starts("*/") {
                depth -= 1;
                self.take_comment();
            }
            self.take_comment();
            if depth == 0 {
                return;
            }
        }
    }

    /// The number of `#` of the raw string that begins here.
    fn raw_string_guards(&self) -> Option<usize> {
        let prefix = ["r", "br", "cr"]
            .into_iter()
            .find(|prefix| self.starts(prefix) && matches!(self.peek(prefix.len()), Some('"' | '#')))?;
        let guards = (0..).take_while(|guard| self.peek(prefix.len() + guard) == Some('#')).count();
        (self.peek(prefix.len() + guards) == Some('"')).then_some(guards)
    }

    fn raw_string(&mut self) {
        let guards = self.raw_string_guards().unwrap_or(0);
        let end: String = std::iter::once('"').chain(std::iter::repeat_n('#', guards)).collect();
        while self.peek(0) != Some('"') {
            self.take_code();
        }
        self.take_code();
        while self.at < self.letters.len() && !self.starts(&end) {
            self.skip();
        }
        for _ in 0..end.len() {
            self.take_code();
        }
    }

    fn literal(&mut self, quote: char) {
        self.take_code();
        while let Some(letter) = self.peek(0) {
            if letter == quote {
                self.take_code();
                return;
            }
            // Not a literal after all, but a quote in a regular expression, say.
            if letter == '\n' && self.language != Language::Rust && quote != '`' {
                return;
            }
            if letter == '\\' {
                self.skip();
            }
            self.skip();
        }
    }

    /// `'a'` and `'\n'` are literals, `'a` is a lifetime.
    fn is_char_literal(&self) -> bool {
        match self.peek(1) {
            Some('\\') => true,
            Some(_) => self.peek(2) == Some('\''),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new(text, Language::Rust).code.join("\n")
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(code("a // b\nc /* d /* e */ f */ g").replace(' ', ""), "a\ncg");
        assert_eq!(code(r#"x("unsafe // no", 'u', '\'', b"q\"");"#).replace(' ', ""), r#"x("",'','',b"");"#);
        assert_eq!(code("r#\"tokio \" \"# y").replace(' ', ""), "r#\"\"#y");
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
    }

    #[test]
    fn lines_keep_their_numbers() {
        let source = Source::new("a\n/* x\ny */ b\n\"c\nd\" e\n", Language::Rust);
        let words: Vec<_> = source.words().map(|word| (word.text, word.line)).collect();
        assert_eq!(words, [("a", 0), ("b", 2), ("e", 4)]);
        assert_eq!(source.comments[1].trim(), "/* x");
    }

    #[test]
    fn words_know_their_neighbours() {
        let source = Source::new("use crate::rtc::x; rtc :: y", Language::Rust);
        let rtc: Vec<_> = source.words().filter(|word| word.text == "rtc").collect();
        assert_eq!((rtc[0].before, &rtc[0].after[..2]), ("::", "::"));
        assert_eq!((rtc[1].before, &rtc[1].after[..2]), ("", "::"));
    }

    #[test]
    fn test_modules_and_blank_lines_do_not_count() {
        let text = "fn a() {}\n\n// b\n#[cfg(test)]\nmod tests {\n    fn c() { if d {} }\n}\nfn e() {}\n";
        assert_eq!(Source::new(text, Language::Rust).lines_of_code(), 2);
        let imported = "#[cfg(test)]\nuse a::b;\nfn e() {}\n";
        assert_eq!(Source::new(imported, Language::Rust).lines_of_code(), 1);
    }

    #[test]
    fn pages_have_comments_too() {
        assert_eq!(Source::new("/* a\nb */\nc { d: 'e' }", Language::Css).lines_of_code(), 1);
        assert_eq!(Source::new("a(/['\"]/)\n// b\n", Language::JavaScript).lines_of_code(), 1);
        assert_eq!(Source::new("// a\nb(`//${c}`)\n", Language::JavaScript).lines_of_code(), 1);
    }
}
