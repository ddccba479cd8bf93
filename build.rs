//! Find libfuse3, generate the bindings, compile the shim, tell dependents.

use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "fuse3-sys/build/features.rs"]
mod features;
#[path = "fuse3-sys/build/missing.rs"]
mod missing;

use features::FEATURES;

include!("fuse3-sys/src/layout.rs");

/// Functions that wrapper.h's shim replaces under the same name.
const SHIMMED: &str = "fuse_session_new(_fn|_versioned)?|fuse_session_loop|fuse_session_loop_mt(_31|_32|_312)?\
    |fuse_parse_cmdline(_30|_312)?|fuse_session_custom_io(_30|_317)?|fuse_(set|unset|get)_feature_flag\
    |fuse_lowlevel_notify_expire_entry|fuse_req_get_payload|fuse_req_is_uring|cuse_lowlevel_(new|setup|main)(_fn|_319)?\
    |fuse_main(_fn|_real_versioned)?|fuse_new(_fn|_30|_31)?|fuse_loop_mt(_31|_32|_312)?";

fn main() {
    println!("cargo::rerun-if-changed=wrapper.h");
    println!("cargo::rerun-if-changed=wrapper");
    println!("cargo::rerun-if-env-changed=DOCS_RS");
    println!("cargo::rerun-if-env-changed=FUSE3_STATIC");
    if env::var_os("DOCS_RS").is_some() {
        return snapshot();
    }
    let libfuse = find();
    generate(&libfuse);
    compile(&libfuse);
    tell(&libfuse);
}

/// The libfuse3 that pkg-config names, and what its headers have.
struct Libfuse {
    version: [u32; 3],
    include: PathBuf,
    features: Vec<&'static str>,
}

impl Libfuse {
    /// What both bindgen and the C compiler are to be told.
    fn clang_args(&self) -> Vec<String> {
        // Two digits up to libfuse 3.9, three from 3.12; never above the header's own.
        let api = match self.version {
            [3, minor, _] if minor < 12 => 35,
            [3, minor, _] if minor < 17 => 312,
            [3, 17, _] => 317,
            _ => 318,
        };
        let mut args = vec![
            format!("-I{}", self.include.display()),
            format!("-DFUSE_USE_VERSION={api}"),
            "-D_FILE_OFFSET_BITS=64".to_owned(),
        ];
        args.extend(
            self.features
                .iter()
                .map(|feature| format!("-DFUSE3_HAVE_{}", feature.to_uppercase())),
        );
        args
    }

    /// The C compiler, with what it is to be told.
    fn compiler(&self) -> cc::Build {
        let mut build = cc::Build::new();
        for argument in self.clang_args() {
            build.flag(argument);
        }
        build
    }
}

/// Asks pkg-config, once. Nobody else does, but missing.rs, for what it says when there is nothing.
fn find() -> Libfuse {
    let asked = env::var_os("FUSE3_STATIC");
    let is_static = asked.is_some_and(|value| !value.is_empty() && value != "0");
    let library = pkg_config::Config::new()
        .atleast_version(missing::OLDEST)
        .statik(is_static)
        .cargo_metadata(!is_static)
        .probe("fuse3")
        .unwrap_or_else(|error| missing::libfuse(&error));
    if is_static {
        link_statically(&library);
    }
    let mut parts = library.version.split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    });
    let version = [(); 3].map(|()| parts.next().unwrap_or(0));
    // No other folder: what is there may be another libfuse's.
    let mut folders = library.include_paths.iter();
    let include = folders
        .find(|path| path.join("fuse_lowlevel.h").is_file())
        .cloned()
        .unwrap_or_else(|| missing::headers(&library.version, &library.include_paths));
    for header in ["fuse.h", "fuse_common.h", "fuse_lowlevel.h"] {
        println!("cargo::rerun-if-changed={}", include.join(header).display());
    }
    let mut libfuse = Libfuse {
        version,
        include,
        features: Vec::new(),
    };
    let compiler = libfuse.compiler().try_get_compiler();
    let probed = compiler
        .map_err(|error| error.to_string())
        .and_then(|compiler| features::probe(&mut compiler.to_command()));
    libfuse.features = probed.unwrap_or_else(|error| missing::compiler(&error));
    libfuse
}

/// Takes libfuse3.a, and what that needs. The crate pkg-config links whatever is below /usr dynamically.
fn link_statically(library: &pkg_config::Library) {
    let folders = &library.link_paths;
    if !folders.iter().any(|path| path.join("libfuse3.a").is_file()) {
        missing::archive(&library.version, folders);
    }
    for folder in folders {
        println!("cargo::rustc-link-search=native={}", folder.display());
    }
    for name in &library.libs {
        let kind = if name == "fuse3" { "static" } else { "dylib" };
        println!("cargo::rustc-link-lib={kind}={name}");
    }
}

/// Writes `bindings.rs`, and `shim.c` with what of wrapper.h has to be compiled.
fn generate(libfuse: &Libfuse) {
    let clang = missing::caught(bindgen::clang_version);
    let clang = clang.unwrap_or_else(|error| missing::libclang(&error));
    let out = out_dir();
    let bindings = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(libfuse.clang_args())
        .allowlist_item("(fuse|cuse|FUSE|CUSE|fuse3|shim)_.*")
        .blocklist_function(SHIMMED)
        // libc has these.
        .blocklist_type("stat|statx|statvfs|flock|iovec|timespec|__[a-z0-9_]+_t")
        .blocklist_type("(dev|gid|mode|off|pid|size|ssize|uid)_t")
        .raw_line(
            "use libc::{dev_t, flock, gid_t, iovec, mode_t, off_t, pid_t, stat, statvfs, statx, timespec, uid_t};",
        )
        .generate_comments(false)
        .layout_tests(true)
        .rust_target(bindgen::RustTarget::stable(85, 0).unwrap_or_default())
        .derive_default(false)
        .default_enum_style(bindgen::EnumVariation::Consts)
        .wrap_static_fns(true)
        .wrap_static_fns_path(out.join("shim"));
    let bindings = missing::caught(|| bindings.generate().map_err(|error| error.to_string()));
    bindings
        .and_then(|bindings| bindings)
        .unwrap_or_else(|error| missing::bindings(&clang.full, &libfuse.include, &error))
        .write_to_file(out.join("bindings.rs"))
        .unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}

/// Compiles what bindgen wrote down of wrapper.h's inline functions.
fn compile(libfuse: &Libfuse) {
    let mut build = libfuse.compiler();
    // shim.c includes wrapper.h by its name alone.
    build
        .include(".")
        .file(out_dir().join("shim.c"))
        .warnings(false)
        .try_compile("fuse3_shim")
        .unwrap_or_else(|error| missing::compiler(&error.to_string()));
}

/// `DEP_FUSE3_*` for the build scripts of dependents, and the header's version for the crate.
fn tell(libfuse: &Libfuse) {
    let [major, minor, patch] = libfuse.version;
    let header_version = format!("[{major}, {minor}, {patch}]");
    write(&out_dir().join("header_version.rs"), &header_version);
    let include = libfuse.include.display();
    // For the test that compares the headers with the bindings.
    println!("cargo::rustc-env=FUSE3_INCLUDE={include}");
    println!("cargo::metadata=VERSION={major}.{minor}.{patch}");
    println!("cargo::metadata=INCLUDE={include}");
    let class = LayoutClass::of(libfuse.version);
    println!("cargo::metadata=CLASS={class:?}");
    println!("cargo::metadata=FEATURES={}", libfuse.features.join(","));
    // For Debian's dh-cargo, which wants to know where a static library comes from.
    println!(
        "dh-cargo:deb-built-using=fuse3_shim=0={}",
        env::var("CARGO_MANIFEST_DIR").unwrap_or_default()
    );
    for (feature, ..) in FEATURES {
        println!("cargo::rustc-check-cfg=cfg(fuse3_{feature})");
    }
    for feature in &libfuse.features {
        println!("cargo::rustc-cfg=fuse3_{feature}");
    }
}

/// For documentation only, without libfuse and libclang: what `generate` and `tell` wrote earlier for a newer libfuse, as
/// scripts/docs-bindings kept it.
fn snapshot() {
    for (feature, ..) in FEATURES {
        println!("cargo::rustc-check-cfg=cfg(fuse3_{feature})");
    }
    println!("cargo::rustc-cfg=fuse3_loop_cfg");
    for file in ["bindings.rs", "header_version.rs"] {
        let kept = Path::new("fuse3-sys/src/docs_rs").join(file);
        println!("cargo::rerun-if-changed={}", kept.display());
        if let Err(error) = fs::copy(&kept, out_dir().join(file)) {
            panic!("{}: {error}", kept.display());
        }
    }
}

fn out_dir() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
