use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::str::FromStr;

/// An option that a program declares: `struct fuse_opt`.
pub(super) struct Own<T> {
    template: &'static str,
    pub(super) help: &'static str,
    kind: Kind<T>,
}

enum Kind<T> {
    Flag(Box<dyn FnMut(&mut T)>),
    Value(SetValue<T>),
}

/// Returns why the value is none.
type SetValue<T> = Box<dyn FnMut(&mut T, OsString) -> Result<(), String>>;

/// How an argument fits an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    No,
    /// It is a flag.
    Flag,
    /// Its value is in it.
    Value(OsString),
    /// Its value is the next argument.
    Next,
}

impl<T> Own<T> {
    pub(super) fn flag(
        name: &'static str,
        help: &'static str,
        set: impl FnMut(&mut T) + 'static,
    ) -> Self {
        Self {
            template: name,
            help,
            kind: Kind::Flag(Box::new(set)),
        }
    }

    pub(super) fn value<V: FromStr<Err: fmt::Display>>(
        template: &'static str,
        help: &'static str,
        mut set: impl FnMut(&mut T, V) + 'static,
    ) -> Self {
        Self::with_value(template, help, move |options, value| {
            let text = value.to_str().ok_or("it is not UTF-8")?;
            set(
                options,
                text.parse().map_err(|error: V::Err| error.to_string())?,
            );
            Ok(())
        })
    }

    pub(super) fn path(
        template: &'static str,
        help: &'static str,
        mut set: impl FnMut(&mut T, PathBuf) + 'static,
    ) -> Self {
        Self::with_value(template, help, move |options, value| {
            set(options, value.into());
            Ok(())
        })
    }

    fn with_value(
        template: &'static str,
        help: &'static str,
        set: impl FnMut(&mut T, OsString) -> Result<(), String> + 'static,
    ) -> Self {
        let own = Self {
            template,
            help,
            kind: Kind::Value(Box::new(set)),
        };
        assert!(
            own.separator().is_some(),
            "the template {template:?} has no value: write {template}=VALUE"
        );
        own
    }

    /// The template, for the help text.
    pub(super) fn template(&self) -> &'static str {
        self.template
    }

    /// The option without its value, for errors.
    pub(super) fn name(&self) -> &'static str {
        match (&self.kind, self.separator()) {
            (Kind::Value(_), Some(at)) => &self.template[..at],
            _ => self.template,
        }
    }

    fn separator(&self) -> Option<usize> {
        self.template.find(['=', ' '])
    }

    /// How `argument` fits; `grouped`, it came in a list after `-o`, where the next argument is not its own.
    pub(super) fn fit(&self, argument: &OsStr, grouped: bool) -> Fit {
        let bytes = argument.as_bytes();
        if let Kind::Flag(_) = self.kind {
            return if bytes == self.template.as_bytes() {
                Fit::Flag
            } else {
                Fit::No
            };
        }
        let name = self.name();
        let Some(rest) = bytes.strip_prefix(name.as_bytes()) else {
            return Fit::No;
        };
        let value = |value: &[u8]| Fit::Value(OsString::from_vec(value.to_owned()));
        let spaced = self.template[name.len()..].starts_with(' ');
        match rest {
            [b'=', given @ ..] if !spaced => value(given),
            [] if !grouped && (spaced || name.starts_with("--")) => Fit::Next,
            [_, ..] if spaced => value(rest),
            _ => Fit::No,
        }
    }

    pub(super) fn set(&mut self, options: &mut T, value: Option<OsString>) -> Result<(), String> {
        match (&mut self.kind, value) {
            (Kind::Flag(set), _) => {
                set(options);
                Ok(())
            }
            (Kind::Value(set), value) => set(options, value.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(template: &'static str, argument: &str) -> Fit {
        Own::<()>::path(template, "", |(), _| ()).fit(OsStr::new(argument), false)
    }

    #[test]
    fn templates_fit_as_libfuse_s_do() {
        let value = |text: &str| Fit::Value(text.into());
        assert_eq!(fit("source=DIR", "source=/a=b"), value("/a=b"));
        assert_eq!(fit("source=DIR", "source="), value(""));
        for other in ["source", "sources=a", "-source=a", "source a"] {
            assert_eq!(fit("source=DIR", other), Fit::No, "{other}");
        }
        assert_eq!(fit("--socket=PATH", "--socket=a"), value("a"));
        assert_eq!(fit("--socket=PATH", "--socket"), Fit::Next);
        assert_eq!(fit("--socket=PATH", "--sockets"), Fit::No);
        assert_eq!(fit("-n NAME", "-n"), Fit::Next);
        assert_eq!(fit("-n NAME", "-nab"), value("ab"));
        assert_eq!(fit("-n NAME", "-n=ab"), value("=ab"));
        let flag = Own::<()>::flag("cache=never", "", |()| ());
        assert_eq!(flag.fit(OsStr::new("cache=never"), true), Fit::Flag);
        assert_eq!(flag.fit(OsStr::new("cache=never2"), true), Fit::No);
    }

    #[test]
    #[should_panic(expected = "has no value")]
    fn a_template_without_a_value() {
        let _ = Own::<()>::path("source", "", |(), _| ());
    }
}
