use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// An option that a program declares: `struct fuse_opt`.
pub(super) struct Own<T> {
    pub(super) template: &'static str,
    pub(super) help: &'static str,
    /// Where the name ends in the template; at its end for a flag.
    name_end: usize,
    pub(super) set: Set<T>,
}

/// Takes the value, which is empty for a flag, or returns why it is none.
type Set<T> = Box<dyn FnMut(&mut T, OsString) -> Result<(), String>>;

/// How an argument fits an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// Its value is in it, or it is a flag.
    Whole(OsString),
    /// Its value is the next argument.
    Next,
}

impl<T> Own<T> {
    pub(super) fn flag(
        name: &'static str,
        help: &'static str,
        mut set: impl FnMut(&mut T) + 'static,
    ) -> Self {
        Self {
            template: name,
            help,
            name_end: name.len(),
            set: Box::new(move |options, _| {
                set(options);
                Ok(())
            }),
        }
    }

    pub(super) fn value(
        template: &'static str,
        help: &'static str,
        set: impl FnMut(&mut T, OsString) -> Result<(), String> + 'static,
    ) -> Self {
        let Some(name_end) = template.find(['=', ' ']) else {
            panic!("the template {template:?} has no value: write {template}=VALUE");
        };
        Self {
            template,
            help,
            name_end,
            set: Box::new(set),
        }
    }

    /// The option without its value, for errors.
    pub(super) fn name(&self) -> &'static str {
        &self.template[..self.name_end]
    }

    /// How `argument` fits, if it does; `grouped`, it came in a list after `-o`, where the next argument is not its own.
    pub(super) fn fit(&self, argument: &OsStr, grouped: bool) -> Option<Fit> {
        let (name, value) = self.template.split_at(self.name_end);
        let rest = argument.as_bytes().strip_prefix(name.as_bytes())?;
        let whole = |value: &[u8]| Some(Fit::Whole(OsString::from_vec(value.to_owned())));
        match (value.as_bytes(), rest) {
            ([], []) => whole(b""),
            ([b'=', ..], [b'=', given @ ..]) => whole(given),
            ([b'=', ..], []) if !grouped && name.starts_with("--") => Some(Fit::Next),
            ([b' ', ..], [_, ..]) => whole(rest),
            ([b' ', ..], []) if !grouped => Some(Fit::Next),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(template: &'static str, argument: &str) -> Option<Fit> {
        Own::<()>::value(template, "", |(), _| Ok(())).fit(OsStr::new(argument), false)
    }

    #[test]
    fn templates_fit_as_libfuse_s_do() {
        let value = |text: &str| Some(Fit::Whole(text.into()));
        assert_eq!(fit("source=DIR", "source=/a=b"), value("/a=b"));
        assert_eq!(fit("source=DIR", "source="), value(""));
        for other in ["source", "sources=a", "-source=a", "source a"] {
            assert_eq!(fit("source=DIR", other), None, "{other}");
        }
        assert_eq!(fit("--socket=PATH", "--socket=a"), value("a"));
        assert_eq!(fit("--socket=PATH", "--socket"), Some(Fit::Next));
        assert_eq!(fit("--socket=PATH", "--sockets"), None);
        assert_eq!(fit("-n NAME", "-n"), Some(Fit::Next));
        assert_eq!(fit("-n NAME", "-nab"), value("ab"));
        assert_eq!(fit("-n NAME", "-n=ab"), value("=ab"));
        let flag = Own::<()>::flag("cache=never", "", |()| ());
        assert_eq!(flag.fit(OsStr::new("cache=never"), true), value(""));
        assert_eq!(flag.fit(OsStr::new("cache=never2"), true), None);
    }

    #[test]
    #[should_panic(expected = "has no value")]
    fn a_template_without_a_value() {
        let _ = Own::<()>::value("source", "", |(), _| Ok(()));
    }
}
