use super::*;
use crate::error::ErrorKind;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn write(set: &OutputSet, file: usize, text: &str) {
    set.reserve(file, text.len() as u64).unwrap();
    set.write_at(file, 0, text.as_bytes()).unwrap();
}

#[test]
fn a_file_appears_with_the_commit_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("a.gguf");
    fs::write(&target, "old").unwrap();
    let set = OutputSet::file(&target, &[]).unwrap();
    set.reserve(0, 6).unwrap();
    set.write_at(0, 3, b"new").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"old");
    assert_eq!(names(dir.path()).len(), 3);
    set.commit().unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"\0\0\0new");
    assert_eq!(names(dir.path()), ["a.gguf"]);
}

#[test]
fn threads_write_at_their_places() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("a");
    let set = OutputSet::file(&target, &[]).unwrap();
    set.reserve(0, 8 * 1000).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let set = &set;
            scope.spawn(move || {
                for i in 0..1000 {
                    set.write_at(0, i * 8 + u64::from(thread), &[thread])
                        .unwrap();
                }
            });
        }
    });
    set.commit().unwrap();
    let expected: Vec<u8> = (0..8000).map(|i| (i % 8) as u8).collect();
    assert_eq!(fs::read(&target).unwrap(), expected);
}

#[test]
fn dropping_removes_everything() {
    let dir = tempfile::tempdir().unwrap();
    let set = OutputSet::file(&dir.path().join("a"), &[]).unwrap();
    write(&set, 0, "x");
    drop(set);
    let set = OutputSet::folder(&dir.path().join("b"), &["x", "y"], false, &[]).unwrap();
    write(&set, 1, "x");
    drop(set);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_set_appears_together_and_undoes_a_half() {
    let dir = tempfile::tempdir().unwrap();
    let (data, named) = (dir.path().join("m.data"), dir.path().join("m"));
    let set = OutputSet::files(&[&data, &named], &[]).unwrap();
    write(&set, 0, "data");
    write(&set, 1, "names");
    set.commit().unwrap();
    assert_eq!(names(dir.path()), ["m", "m.data"]);

    let (data, named) = (dir.path().join("n.data"), dir.path().join("n"));
    let set = OutputSet::files(&[&data, &named], &[]).unwrap();
    fs::create_dir_all(named.join("in the way")).unwrap();
    assert_eq!(set.commit().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(names(dir.path()), ["m", "m.data", "n"]);
}

#[test]
fn a_set_replaces_a_set_or_leaves_it() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["m-2", "m-3", "m-1"].map(|name| dir.path().join(name));
    let contents = || paths.clone().map(|path| fs::read_to_string(path).unwrap());
    let set = |texts: [&str; 3]| {
        let paths: Vec<_> = paths.iter().map(PathBuf::as_path).collect();
        let set = OutputSet::files(&paths, &[]).unwrap();
        texts
            .iter()
            .enumerate()
            .for_each(|(i, text)| write(&set, i, text));
        set
    };
    set(["a", "b", "c"]).commit().unwrap();
    set(["d", "e", "f"]).commit().unwrap();
    assert_eq!(contents(), ["d", "e", "f"]);
    assert_eq!(names(dir.path()), ["m-1", "m-2", "m-3"]);

    let last = set(["g", "h", "i"]);
    fs::remove_file(&last.files[1].staged).unwrap();
    assert_eq!(last.commit().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(contents(), ["d", "e", "f"]);
    assert_eq!(names(dir.path()), ["m-1", "m-2", "m-3"]);
}

#[test]
fn folders_are_replaced_only_by_force() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("model");
    for (force, existing) in [(false, None), (false, Some(0)), (true, Some(1))] {
        if existing == Some(0) {
            fs::remove_dir_all(&target).unwrap();
            fs::create_dir(&target).unwrap();
        }
        let set = OutputSet::folder(&target, &["data", "config"], force, &[]).unwrap();
        write(&set, 0, "data");
        write(&set, 1, "config");
        set.commit().unwrap();
        assert_eq!(names(&target), ["config", "data"]);
        assert_eq!(names(dir.path()), ["model"]);
        fs::write(target.join("another"), "").unwrap();
    }
    let refused = OutputSet::folder(&target, &["data"], false, &[]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Misuse);
    let input = target.join("data");
    let refused = OutputSet::folder(&target, &["data"], true, &[input]).unwrap_err();
    assert!(refused.to_string().contains("holds the input"), "{refused}");
    assert_eq!(names(dir.path()), ["model"]);
}

#[test]
fn the_dead_are_removed_and_the_living_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("a");
    let living = OutputSet::file(&target, &[]).unwrap();
    let alive = names(dir.path());
    for dead in [
        ".a.quantlib-1",
        ".a.quantlib-1-2-3.0",
        ".a.quantlib-1-2-3.lock",
    ] {
        fs::write(dir.path().join(dead), "").unwrap();
    }
    fs::create_dir_all(dir.path().join(".a.quantlib-1-2-4.new/more")).unwrap();
    fs::write(dir.path().join(".ab.quantlib-1"), "another target's").unwrap();
    let second = OutputSet::file(&target, &[]).unwrap();
    drop(second);
    let mut expected = alive;
    expected.push(".ab.quantlib-1".into());
    assert_eq!(names(dir.path()), expected);
    write(&living, 0, "alive");
    living.commit().unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"alive");
}

#[test]
fn a_folder_lost_between_two_renames_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("model");
    let old = dir.path().join(".model.quantlib-1-2-3.old");
    fs::create_dir(&old).unwrap();
    fs::write(old.join("weights"), "w").unwrap();
    let refused = OutputSet::folder(&target, &["weights"], true, &[]);
    drop(refused);
    assert_eq!(fs::read(target.join("weights")).unwrap(), b"w");
    assert_eq!(names(dir.path()), ["model"]);
}

#[test]
fn the_input_is_never_the_output() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.gguf");
    fs::write(&input, "weights").unwrap();
    let mut outputs = vec![input.clone(), dir.path().join(".").join("in.gguf")];
    #[cfg(unix)]
    {
        let (hard, soft) = (dir.path().join("hard"), dir.path().join("soft"));
        fs::hard_link(&input, &hard).unwrap();
        std::os::unix::fs::symlink(&input, &soft).unwrap();
        outputs.extend([hard, soft]);
    }
    for output in outputs {
        let refused = OutputSet::file(&output, std::slice::from_ref(&input)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Misuse);
        assert!(refused.to_string().contains("is the input"), "{refused}");
    }
    assert_eq!(fs::read(&input).unwrap(), b"weights");
}

#[test]
fn impossible_targets_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let kind = |path: &Path| OutputSet::file(path, &[]).unwrap_err().kind();
    assert_eq!(kind(dir.path()), ErrorKind::Misuse);
    assert_eq!(kind(Path::new("..")), ErrorKind::Misuse);
    assert_eq!(kind(&dir.path().join("missing/a")), ErrorKind::Io);
    #[cfg(unix)]
    assert_eq!(kind(Path::new("/dev/null")), ErrorKind::Misuse);
}

#[cfg(unix)]
#[test]
fn a_link_to_an_old_output_stays_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::write(&real, "old").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let set = OutputSet::file(&link, &[]).unwrap();
    write(&set, 0, "new");
    set.commit().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&real).unwrap(), b"new");
}

#[test]
fn long_names_leave_room_for_the_temporary() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("ü".repeat(127));
    let set = OutputSet::file(&target, &[]).unwrap();
    write(&set, 0, "x");
    set.commit().unwrap();
    assert_eq!(names(dir.path()).len(), 1);
}

/// An offset beyond what the file system can hold stands in for a full disk everywhere; the job's
/// tests fill a real one.
#[cfg(target_os = "linux")]
#[test]
fn space_that_cannot_be_had_is_an_error_before_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("a");
    let set = OutputSet::file(&target, &[]).unwrap();
    let error = set.reserve(0, 1 << 50).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    drop(set);
    assert!(names(dir.path()).is_empty());
}
