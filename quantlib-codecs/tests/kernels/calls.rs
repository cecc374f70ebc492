//! AVX-512, which valgrind does not run: the machine code is searched for calls.

use crate::output;
use quantlib_codecs::DType;
use std::collections::{BTreeSet, HashMap};
use std::process::Command;

/// The symbol of every kernel of that instruction set.
const KERNEL: &str = "Avx512::run::entry";

/// What a kernel may call: moves of memory, what ends it, and what is a function on purpose.
const ALLOWED: &[&str] = &[
    "memcpy",
    "memmove",
    "memset",
    "core::panicking::",
    "core::slice::",
    "core::option::",
    "bytemuck::internal::something_went_wrong",
    "_Unwind_Resume",
    "alloc::",
    "__rust_",
    "core::ptr::drop_in_place",
    // Once for each group; inlined at the release's optimization level.
    "_mm512_loadu_ps",
    "_mm512_storeu_ps",
    "Once>::call",
    "log2",
    // Two iterators, once for each group.
    "ZipImpl<A,B>>::new",
    // Gathers the lanes' values; see docs/performance.md, "Traps".
    "lanes::per_lane::PerLane",
    // The scalar reference, for the few groups that the lanes leave to it.
    "FoundCodes",
    "codebook::fit::",
    "mxfp4::encode_ref",
    "mxfp4::exponent_by_logarithm",
    "thirty_two::scalar_",
    // Scalar, once for each block.
    "codebook::scales::quantize_scales",
    "codebook::signs::pack_signs_and_scale",
];

#[test]
fn no_avx512_kernel_calls_what_should_be_inlined() {
    // That the kernels are linked into this executable.
    quantlib_codecs::quantize(&[0.0; 256], 256, DType::Q4K, None).unwrap();
    let exe = std::env::current_exe().unwrap();
    let objdump = |options: &[&str]| {
        let output = output(Command::new("objdump").args(options).arg(&exe))?;
        assert!(output.status.success(), "objdump {options:?} failed");
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let Some(relocations) = objdump(&["-R"]) else {
        return;
    };
    let Some(code) = objdump(&["-d", "-C", "--no-show-raw-insn", "-j", ".text"]) else {
        return;
    };
    let program = Program::new(&code, &relocations);
    let kernels: Vec<_> = program
        .functions()
        .filter(|f| f[0].contains(KERNEL))
        .collect();
    let wide = kernels
        .iter()
        .filter(|f| f.iter().any(|line| line.contains("%zmm")));
    assert!(wide.count() > 40, "kernels were not found");
    let calls = kernels.iter().flat_map(|lines| program.calls(lines));
    let allowed = |name: &String| ALLOWED.iter().any(|allowed| name.contains(allowed));
    let surprising: BTreeSet<_> = calls.filter(|name| !allowed(name)).collect();
    assert!(
        surprising.is_empty(),
        "called, not inlined: {surprising:#?}"
    );
}

/// A disassembly.
struct Program<'a> {
    code: &'a str,
    /// Functions by address.
    names: HashMap<&'a str, &'a str>,
    /// Addresses of functions by the address of the table entry through which they are called.
    table: HashMap<&'a str, &'a str>,
}

impl<'a> Program<'a> {
    fn new(code: &'a str, relocations: &'a str) -> Self {
        let entry = |line: &'a str| {
            let (at, rest) = line.split_once(" R_X86_64_RELATIVE")?;
            let (_, to) = rest.split_once("+0x")?;
            Some((at.trim_start_matches('0'), to.trim_start_matches('0')))
        };
        Self {
            code,
            names: code.lines().filter_map(label).collect(),
            table: relocations.lines().filter_map(entry).collect(),
        }
    }

    /// The lines of each function, the first of them its label.
    fn functions(&self) -> impl Iterator<Item = Vec<&'a str>> {
        let blocks = self.code.split("\n\n").map(|block| block.lines().collect());
        blocks.filter(|lines: &Vec<&str>| lines.first().is_some_and(|l| label(l).is_some()))
    }

    /// The names of what a function calls. Where a register is called, of what was last loaded into
    /// it above, if that can be told.
    fn calls(&self, lines: &[&'a str]) -> Vec<String> {
        let mut loaded = HashMap::new();
        let mut names = Vec::new();
        for line in lines {
            let Some((_, instruction)) = line.split_once(":\t") else {
                continue;
            };
            let (operation, operands) = instruction.split_once(' ').unwrap_or((instruction, ""));
            let operands = operands.trim();
            let (code, _) = operands.split_once('#').unwrap_or((operands, ""));
            if let ("mov" | "lea", Some((from, register))) = (operation, code.rsplit_once(',')) {
                let known = loaded.get(from).copied();
                loaded.insert(register.trim(), known.unwrap_or(operands));
            }
            if operation == "call" {
                let target = operands.strip_prefix('*').unwrap_or(operands);
                names.extend(self.name(loaded.get(target).copied().unwrap_or(operands)));
            }
        }
        names
    }

    /// The function that an operand stands for: its name behind a `#` or after its address, or what
    /// the table tells of it.
    fn name(&self, operand: &str) -> Option<String> {
        let place = operand.split_once("# ").map_or(operand, |(_, place)| place);
        let (address, name) = place.split_once(' ')?;
        let behind = self.table.get(address).and_then(|to| self.names.get(to));
        Some(behind.map_or(name, |name| *name).to_owned())
    }
}

/// The address and the name of a line such as `00000000000161c0 <main>:`.
fn label(line: &str) -> Option<(&str, &str)> {
    let (address, name) = line.split_once(" <")?;
    let name = name.strip_suffix(">:")?;
    Some((address.trim_start_matches('0'), name))
}
