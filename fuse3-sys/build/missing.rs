//! What the build ends with when something is not there: one line that says what it is, and what to type.

use std::path::{Path, PathBuf};
use std::{env, io, panic, process};

mod install;

use install::{COMPILER, Commands, LIBCLANG, LIBFUSE, LIBFUSE_ANEW, PKG_CONFIG};

/// The oldest libfuse that will do.
pub(crate) const OLDEST: &str = "3.10";

/// pkg-config has no libfuse, or is not there itself.
pub(crate) fn libfuse(error: &pkg_config::Error) -> ! {
    use pkg_config::Error;
    match error {
        Error::Command { cause, .. } if cause.kind() == io::ErrorKind::NotFound => {
            let name = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned());
            let what = format!("{name}, which tells where libfuse 3 is, was not found");
            give_up(&what, PKG_CONFIG)
        }
        Error::ProbeFailure { output, .. } => unsuitable(&String::from_utf8_lossy(&output.stderr)),
        // It is not set up for the target of a cross compilation, mostly.
        error => end(&folded(&error.to_string())),
    }
}

/// pkg-config, which said so, has no libfuse 3 that will do: which one has it?
fn unsuitable(said: &str) -> ! {
    let version_of = |name| {
        let library = pkg_config::Config::new().cargo_metadata(false).probe(name);
        library.ok().map(|library| library.version)
    };
    if let Some(version) = version_of("fuse3") {
        end(&format!(
            "libfuse {version} is too old: {OLDEST} or later is needed. Debian 11, Ubuntu 22.04 and what is newer have it; \
             PKG_CONFIG_PATH names the folder of the fuse3.pc of one that you have built yourself"
        ));
    }
    // What it needs itself: "Package 'x', required by 'fuse3', not found".
    if let Some(line) = said
        .lines()
        .find(|line| line.contains("required by 'fuse3'"))
    {
        give_up(&format!("libfuse 3 cannot be used: {line}"), LIBFUSE);
    }
    let what = match version_of("fuse") {
        Some(old) => {
            format!("libfuse 3 was not found, only libfuse {old}, which may stay beside it")
        }
        None => "libfuse 3 was not found: pkg-config knows no fuse3.pc".to_owned(),
    };
    give_up(&what, LIBFUSE)
}

/// The headers are not where pkg-config says.
pub(crate) fn headers(version: &str, folders: &[PathBuf]) -> ! {
    let folders = listed(folders);
    let what = format!(
        "the headers of libfuse {version} are missing: there is no fuse_lowlevel.h in {folders}"
    );
    give_up(&what, LIBFUSE_ANEW)
}

/// The library is to be linked statically, and is there only as a shared one. Few distributions have the other.
pub(crate) fn archive(version: &str, folders: &[PathBuf]) -> ! {
    let folders = listed(folders);
    end(&format!(
        "FUSE3_STATIC asks for a static libfuse, but there is no libfuse3.a of libfuse {version} in {folders}. Debian, Ubuntu and \
         Alpine have it (`apt install libfuse3-dev`, `apk add fuse3-static`); of one that you build yourself: \
         `meson setup -Ddefault_library=both`"
    ))
}

fn listed(folders: &[PathBuf]) -> String {
    let folders: Vec<_> = folders
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    folders.join(", ")
}

/// clang-sys found no libclang, or none that can be loaded.
pub(crate) fn libclang(error: &str) -> ! {
    let needed = "libclang, with which bindgen reads libfuse's headers,";
    let what = match env::var("LIBCLANG_PATH") {
        // It lists the libraries that it had found, but could not use.
        _ if !error.contains("(invalid: [])") => {
            format!("{needed} cannot be used: {}", folded(error))
        }
        Ok(path) => format!("{needed} is not in LIBCLANG_PATH, {path}"),
        Err(_) => format!("{needed} was not found"),
    };
    give_up(&what, LIBCLANG)
}

/// This libclang, which is there, makes no bindings.
pub(crate) fn bindings(clang: &str, include: &Path, error: &str) -> ! {
    let what = if error.contains("not supported by the loaded `libclang`") {
        format!("libclang, which is of {clang}, is too old for bindgen")
    } else {
        let (include, error) = (include.display(), folded(error));
        format!(
            "libclang, which is of {clang}, cannot read libfuse's headers in {include}: {error}"
        )
    };
    give_up(&what, LIBCLANG)
}

/// The C compiler is not there, or fails.
pub(crate) fn compiler(error: &str) -> ! {
    let error = folded(error);
    give_up(
        &format!("the inline functions of libfuse's headers were not compiled: {error}"),
        COMPILER,
    )
}

/// What `f` returns, or says when it panics: bindgen and clang-sys do without a libclang, or with one that is too old.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    panic::set_hook(Box::new(|_| ()));
    let result = panic::catch_unwind(panic::AssertUnwindSafe(f));
    drop(panic::take_hook());
    result.map_err(|payload| match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload
            .downcast_ref()
            .copied()
            .unwrap_or("a panic")
            .to_owned(),
    })
}

/// On one line.
fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn give_up(what: &str, commands: Commands) -> ! {
    end(&install::told(what, commands))
}

fn end(line: &str) -> ! {
    println!("cargo::error={line}");
    // That line fails the build. After another status cargo shows everything that was printed, too.
    process::exit(0)
}
