"""Run every benchmark, one process each, on a machine that does nothing else: `make bench`."""

import subprocess
import sys

BENCHMARKS = {
    "import_time": [],
    "loss_step": [],
    "evaluation": ["--full"],
    "sharded_evaluation": [],
    "search": [],
    "index_build": [],
    "serve_load": [],
    "serve_malformed": [],
    "embed_throughput": [],
    "embed_kills": [],
    "revisited": [],
    "post_processing": [],
    "training_rivals": [],
    "step_memory": [],
    "image_pipeline": [],
    "data_wait": [],
    "resident_memory": [],
    "doctor": [],
    "distributed_gradient": [],
    "gradient_caching": [],
    "kill_and_resume": [],
    "push_speed": [],
    "load_time": [],
    "onnx_speed": [],
    "dinov2_small": [],
}


def main() -> None:
    failed = []
    for name, options in BENCHMARKS.items():
        print(f"\n== {name} {' '.join(options)}", flush=True)
        if subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}", *options], check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"these ended with an error: {', '.join(failed)}")


if __name__ == "__main__":
    main()
