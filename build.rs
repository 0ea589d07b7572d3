//! Has relative relocations packed, where the machine's own C library can read
//! them (glibc from 2.36 on): 8 MB that every start would otherwise read and keep
//! mapped are then some hundred kilobytes.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let var = |name| std::env::var(name).unwrap_or_default();
    // Of another machine's library nothing is known here.
    let is_native = var("HOST") == var("TARGET") && var("TARGET").ends_with("-linux-gnu");
    if is_native && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

fn glibc() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let (major, minor) = told.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
