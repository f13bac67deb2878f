//! JAAS entries: the value of `sasl.jaas.config`, and the file that `KAFKA_OPTS` names.
//!
//! An entry is `CLASS FLAG key="value" …;`. In a file, entries stand in named sections: `KafkaClient { … };`.
//!
//! Source: `JaasConfig`, `JaasContext` of 3.9; `java.io.StreamTokenizer`, whose manners are the syntax.

use std::iter::Peekable;
use std::str::Chars;

/// One login module with its options, in the order written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginModule {
    pub class: String,
    pub options: Vec<(String, String)>,
}

impl LoginModule {
    /// The value of an option; where it stands twice, the last counts.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The login module of `sasl.jaas.config`.
///
/// # Errors
/// Java's text for what is wrong with it.
pub fn parse_property(text: &str) -> Result<LoginModule, String> {
    let mut tokens = Tokens::new(text);
    let mut modules = Vec::new();
    while tokens.peek().is_some() {
        modules.push(parse_module(&mut tokens)?);
    }
    match modules.len() {
        1 => Ok(modules.remove(0)),
        0 => Err("Login module not specified in JAAS config".to_owned()),
        count => Err(format!("JAAS config property contains {count} login modules, should be 1 module")),
    }
}

/// The first login module of the section `name` of a JAAS file; `None` when there is no such section.
///
/// # Errors
/// What is wrong with the file.
pub fn parse_file(text: &str, name: &str) -> Result<Option<LoginModule>, String> {
    let mut tokens = Tokens::new(text);
    let mut found = None;
    while let Some(token) = tokens.next() {
        let Token::Word(section) = token else {
            return Err("Configuration Error: expected a section's name".to_owned());
        };
        if tokens.next() != Some(Token::Sign('{')) {
            return Err(format!("Configuration Error: expected [{{] after {section}"));
        }
        while tokens.peek().is_some_and(|token| *token != Token::Sign('}')) {
            let module = parse_module(&mut tokens)?;
            if section == name && found.is_none() {
                found = Some(module);
            }
        }
        if tokens.next().is_none() || tokens.next() != Some(Token::Sign(';')) {
            return Err(format!("Configuration Error: the section {section} does not end with [}};]"));
        }
    }
    Ok(found)
}

fn parse_module(tokens: &mut Tokens) -> Result<LoginModule, String> {
    let Some(Token::Word(class)) = tokens.next() else {
        return Err("Login module not specified in JAAS config".to_owned());
    };
    match tokens.next() {
        None => return Err("Login module control flag not specified in JAAS config".to_owned()),
        Some(Token::Word(flag)) if FLAGS.iter().any(|known| known.eq_ignore_ascii_case(&flag)) => {}
        Some(Token::Word(flag)) => return Err(format!("Invalid login module control flag '{flag}' in JAAS config")),
        Some(_) => return Err("Invalid login module control flag 'null' in JAAS config".to_owned()),
    }
    let mut options = Vec::new();
    loop {
        let key = match tokens.next() {
            Some(Token::Sign(';')) => return Ok(LoginModule { class, options }),
            None => return Err("JAAS config entry not terminated by semi-colon".to_owned()),
            Some(Token::Word(key)) => key,
            Some(Token::Sign(sign)) => sign.to_string(),
        };
        match (tokens.next_if_sign('='), tokens.peek()) {
            (true, Some(Token::Word(_))) => {
                let Some(Token::Word(value)) = tokens.next() else { continue };
                options.push((key, value));
            }
            _ => return Err(format!("Value not specified for key '{key}' in JAAS config")),
        }
    }
}

const FLAGS: [&str; 4] = ["REQUIRED", "REQUISITE", "SUFFICIENT", "OPTIONAL"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A bare or a quoted word.
    Word(String),
    Sign(char),
}

/// The words and signs of a text, comments left out.
struct Tokens<'a> {
    chars: Peekable<Chars<'a>>,
    peeked: Option<Option<Token>>,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a str) -> Tokens<'a> {
        Tokens { chars: text.chars().peekable(), peeked: None }
    }

    fn peek(&mut self) -> Option<&Token> {
        if self.peeked.is_none() {
            self.peeked = Some(self.read());
        }
        self.peeked.as_ref().and_then(Option::as_ref)
    }

    fn next(&mut self) -> Option<Token> {
        match self.peeked.take() {
            Some(token) => token,
            None => self.read(),
        }
    }

    fn next_if_sign(&mut self, sign: char) -> bool {
        let is_there = self.peek() == Some(&Token::Sign(sign));
        if is_there {
            self.next();
        }
        is_there
    }

    fn read(&mut self) -> Option<Token> {
        loop {
            let c = *self.chars.peek()?;
            match c {
                c if c <= ' ' => drop(self.chars.next()),
                '/' => {
                    self.chars.next();
                    match self.chars.peek() {
                        Some('*') => self.skip_block_comment(),
                        _ => self.skip_line(),
                    }
                }
                '"' | '\'' => {
                    self.chars.next();
                    return Some(Token::Word(self.quoted(c)));
                }
                c if is_word(c) => {
                    let mut word = String::new();
                    while let Some(c) = self.chars.next_if(|c| is_word(*c)) {
                        word.push(c);
                    }
                    return Some(Token::Word(word));
                }
                c => {
                    self.chars.next();
                    return Some(Token::Sign(c));
                }
            }
        }
    }

    fn skip_line(&mut self) {
        while self.chars.next_if(|c| *c != '\n').is_some() {}
    }

    fn skip_block_comment(&mut self) {
        self.chars.next();
        let mut previous = ' ';
        for c in self.chars.by_ref() {
            if previous == '*' && c == '/' {
                return;
            }
            previous = c;
        }
    }

    /// What stands before the closing `quote`, or the end of the line.
    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        while let Some(c) = self.chars.next_if(|c| *c != '\n' && *c != '\r') {
            match c {
                c if c == quote => return text,
                '\\' => match self.chars.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some('f') => text.push('\u{c}'),
                    Some('b') => text.push('\u{8}'),
                    Some('a') => text.push('\u{7}'),
                    Some('v') => text.push('\u{b}'),
                    Some(digit @ '0'..='7') => text.push(self.octal(digit)),
                    Some(other) => text.push(other),
                    None => return text,
                },
                c => text.push(c),
            }
        }
        text
    }

    /// `\101` is `A`: three digits after 0 to 3, else two.
    fn octal(&mut self, first: char) -> char {
        let mut value = first.to_digit(8).unwrap_or(0);
        for _ in 0..if first <= '3' { 2 } else { 1 } {
            let Some(digit) = self.chars.next_if(|c| ('0'..='7').contains(c)) else { break };
            value = value * 8 + digit.to_digit(8).unwrap_or(0);
        }
        char::from_u32(value).unwrap_or('\u{fffd}')
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_$.".contains(c) || c >= '\u{a0}'
}

#[cfg(test)]
mod tests;
