"""Run the benchmarks and print each result against its floor."""

import importlib
import sys
from pathlib import Path

PREFIX = "bench_"


def main(wanted: list[str]) -> int:
    modules = {
        path.stem.removeprefix(PREFIX): path.stem for path in Path(__file__).parent.glob(f"{PREFIX}*.py")
    }
    unknown = sorted(set(wanted) - set(modules))
    if unknown or not modules:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(sorted(modules))}", file=sys.stderr)
        return 2
    for topic in wanted or sorted(modules):
        print(f"\n{topic}")
        for result in importlib.import_module(f"{__package__}.{modules[topic]}").main():
            print(
                f"  {result.name:<52} {result.seconds:10.4f} s   {result.ratio:8.2f} x   "
                f"{result.floor} ({result.floor_seconds:.4f} s)",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
