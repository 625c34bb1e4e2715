//! The manual pages and completions in `man/` are what the command-line definitions say. `scripts/generate` writes
//! them anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use rtmfp_cli::{Redirector, Relay, Toolbox};

#[test]
fn manual_pages_and_completions_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let wanted = generated();
    if env::var_os("UPDATE").is_some() {
        return write(&folder, &wanted);
    }
    let found = read(&folder, &folder);
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&wanted), "files in man/ are missing or left over: run scripts/generate");
    for (name, content) in &wanted {
        assert!(found[name] == *content, "man/{} is stale: run scripts/generate", name.display());
    }
}

/// All files by their names in `man/`.
fn generated() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for program in [Relay::command(), Redirector::command(), Toolbox::command()] {
        let name = program.get_name().to_owned();
        for (shell, file) in [
            (Shell::Bash, name.clone()),
            (Shell::Zsh, format!("_{name}")),
            (Shell::Fish, format!("{name}.fish")),
        ] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut program.clone(), &name, &mut script);
            files.insert(Path::new("completions").join(shell.to_string()).join(file), script);
        }
        pages(program, &mut files);
    }
    files
}

/// The page of a program and those of its subcommands.
fn pages(program: Command, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    for command in std::iter::once(&program).chain(program.get_subcommands()) {
        let man = clap_mangen::Man::new(command.clone()).source(concat!("rtmfp ", env!("CARGO_PKG_VERSION")));
        let mut page = Vec::new();
        man.render(&mut page).expect("a page in memory");
        files.insert(man.get_filename().into(), page);
    }
}

fn read(folder: &Path, root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("man/ is there") {
        let path = entry.expect("man/ can be read").path();
        if path.is_dir() {
            files.extend(read(&path, root));
        } else {
            let name = path.strip_prefix(root).expect("below man/").to_owned();
            files.insert(name, fs::read(&path).expect("a file of man/ can be read"));
        }
    }
    files
}

fn write(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    fs::remove_dir_all(folder).ok();
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("below man/")).expect("a folder of man/ can be made");
        fs::write(path, content).expect("a file of man/ can be written");
    }
}
