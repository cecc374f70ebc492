//! Jobs that do not run to their end: signals, kills, full disks; and how much memory one takes.

use crate::support::{names, quantlib, succeed, text, zeros};
use quantlib::DType;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A model that takes seconds to quantize, and no room on the disk.
fn long_model(dir: &Path) -> PathBuf {
    let path = dir.join("long.gguf");
    let tensors: [(&str, DType, &[usize]); 2] = [
        ("matrix.weight", DType::F16, &[32_768, 4096]),
        ("vector", DType::F32, &[16_000_000]),
    ];
    zeros(&path, &tensors);
    path
}

fn start(model: &Path, out: &Path, more: &[&str]) -> Child {
    let mut command = quantlib();
    command.args([
        "quantize",
        text(model),
        "-o",
        text(out),
        "-t",
        "q6_k",
        "--pure",
    ]);
    command
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits until the job has begun to write.
fn wait_for_temporary(dir: &Path) {
    let begin = Instant::now();
    while !names(dir).iter().any(|name| name.contains(".quantlib-")) {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "the job does not start"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn signals_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let model = long_model(dir.path());
    let out = dir.path().join("out.gguf");
    std::fs::write(&out, "old").unwrap();
    for signal in ["-INT", "-TERM"] {
        let child = start(&model, &out, &["--threads", "1"]);
        wait_for_temporary(dir.path());
        std::thread::sleep(Duration::from_millis(200));
        let sent = Instant::now();
        let status = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{error}");
        assert!(error.starts_with("error: cancelled"), "{error}");
        assert!(
            sent.elapsed() < Duration::from_secs(5),
            "{:?}",
            sent.elapsed()
        );
        assert_eq!(names(dir.path()), ["long.gguf", "out.gguf"]);
        assert_eq!(std::fs::read(&out).unwrap(), b"old");
    }
}

#[test]
fn a_killed_job_leaves_the_old_output_or_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let input = tempfile::tempdir().unwrap();
    let model = input.path().join("model.gguf");
    zeros(&model, &[("w.weight", DType::F32, &[2048, 1024])]);
    let out = dir.path().join("out.gguf");
    let mut child = start(&model, &out, &[]);
    let begin = Instant::now();
    assert!(child.wait().unwrap().success());
    let usual = begin.elapsed();
    let complete = std::fs::read(&out).unwrap();
    let mut killed = 0;
    for i in 0..30 {
        std::fs::write(&out, "old").unwrap();
        let mut child = start(&model, &out, &[]);
        std::thread::sleep(usual * i / 25);
        // It may have ended already; then this does nothing.
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        let now = std::fs::read(&out).unwrap();
        assert!(now == b"old" || now == complete, "{} bytes", now.len());
    }
    assert!(killed > 0, "no run was killed");
    assert!(start(&model, &out, &[]).wait().unwrap().success());
    assert_eq!(names(dir.path()), ["out.gguf"]);
    assert!(std::fs::read(&out).unwrap() == complete);
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_within_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let model = long_model(dir.path());
    let peak = |limit| {
        let child = start(
            &model,
            &dir.path().join("out.gguf"),
            &["--threads", "4", "--memory-limit", limit],
        );
        let peak = watch_peak(child);
        std::fs::remove_file(dir.path().join("out.gguf")).unwrap();
        peak
    };
    // What the program takes without tensors: its code, its threads' stacks, its allocator.
    let base = 24 << 20;
    for (limit, bytes) in [("8M", 8 << 20), ("32M", 32 << 20)] {
        let peak = peak(limit);
        println!("--memory-limit {limit}: {} KiB at the peak", peak >> 10);
        assert!(peak < bytes + base, "{peak} bytes with a limit of {limit}");
    }
}

/// The most memory that a process had at any time, in bytes; it must succeed.
#[cfg(target_os = "linux")]
fn watch_peak(mut child: Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(kib) =
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok())
        {
            peak = peak.max(kib << 10);
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            assert!(peak > 0, "the peak was never seen");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A limit on the length of files stands in for a full disk where nothing may be mounted.
#[test]
fn a_file_that_cannot_grow_is_an_error_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model.gguf");
    zeros(&model, &[("w.weight", DType::F32, &[2048, 1024])]);
    let out = dir.path().join("out.gguf");
    std::fs::write(&out, "old").unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_quantlib"))
        .args([
            "quantize",
            text(&model),
            "-o",
            text(&out),
            "-t",
            "q8_0",
            "--pure",
        ])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("out.gguf: cannot"), "{error}");
    assert_eq!(names(dir.path()), ["model.gguf", "out.gguf"]);
    assert_eq!(std::fs::read(&out).unwrap(), b"old");
}

/// A small file system in memory, if this process may mount one.
#[cfg(target_os = "linux")]
struct SmallDisk(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs", text(dir.path())])
            .output();
        mount
            .is_ok_and(|output| output.status.success())
            .then_some(Self(dir))
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0.path()).status());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        println!("SKIPPED: this process may not mount a small disk");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model.gguf");
    zeros(&model, &[("w.weight", DType::F32, &[8192, 1024])]);
    let out = disk.0.path().join("out.gguf");
    std::fs::write(&out, "old").unwrap();
    let failed = start(&model, &out, &[]).wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&failed.stderr);
    assert_eq!(failed.status.code(), Some(1), "{error}");
    assert!(error.contains("No space left on device"), "{error}");
    assert_eq!(names(disk.0.path()), ["out.gguf"]);
    assert_eq!(std::fs::read(&out).unwrap(), b"old");
    // With room enough, the same disk does.
    zeros(&model, &[("w.weight", DType::F32, &[1024, 1024])]);
    succeed(&[
        "quantize",
        text(&model),
        "-o",
        text(&out),
        "-t",
        "q6_k",
        "--pure",
    ]);
    assert_eq!(names(disk.0.path()), ["out.gguf"]);
}
