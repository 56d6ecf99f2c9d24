"""Speed, measured beside what one would use instead, in the same run. `./scripts/bench/run NAME` starts one."""
