//! llama-quantize itself, where Python and the library that scripts/get-ggml fetches are found.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// tests/peers/llama_quantize.py, told one run after the other.
pub(crate) struct Peer {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Peer {
    /// None, and a line that says so, if there is no library or no Python.
    pub(crate) fn start() -> Option<Self> {
        let library = repository().join(".peers/ggml/libllama.v0.5.0.so");
        if !library.exists() {
            println!("llama-quantize: not compared live, scripts/get-ggml fetches it");
            return None;
        }
        let script = repository().join("tests/peers/llama_quantize.py");
        let process = Command::new("python3")
            .args([script.as_os_str(), "--batch".as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut process) = process else {
            println!("llama-quantize: not compared live, python3 is not found");
            return None;
        };
        Some(Self {
            questions: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
        })
    }

    /// Whether llama-quantize wrote the file.
    pub(crate) fn quantize(&mut self, source: &Path, target: &Path, case: &str) -> bool {
        let (recipe, options) = case.split_once(' ').unwrap_or((case, ""));
        let mut arguments: Vec<_> = options.split_terminator(' ').collect();
        arguments.extend([source.to_str().unwrap(), target.to_str().unwrap(), recipe]);
        writeln!(self.questions, "{}", serde_json::json!(arguments)).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        match answer.trim_end() {
            "ok" => true,
            refused if refused.starts_with("refused") => false,
            other => panic!("{case}: llama-quantize ended with {other:?}"),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
