"""Run the benchmarks and print each result against its floor."""

import importlib
import sys
from pathlib import Path

PREFIX = "bench_"
HEAD = f"  {'work':<62} {'cost':>11}   {'floor':<46} {'cost':>11} {'ratio':>9} {'required':>9}"


def main(wanted: list[str]) -> int:
    modules = {
        path.stem.removeprefix(PREFIX): path.stem for path in Path(__file__).parent.glob(f"{PREFIX}*.py")
    }
    unknown = sorted(set(wanted) - set(modules))
    if unknown or not modules:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(sorted(modules))}", file=sys.stderr)
        return 2
    for topic in wanted or sorted(modules):
        print(f"\n{topic}\n{HEAD}")
        for result in importlib.import_module(f"{__package__}.{modules[topic]}").main():
            print(
                f"  {result.name:<62} {result.seconds:9.3f} {result.unit:<2}  {result.floor:<46} "
                f"{result.floor_seconds:9.3f} {result.unit:<2}{result.ratio:8.3f} x {result.required:>9}  "
                f"{result.verdict}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
