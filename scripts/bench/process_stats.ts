/** Linux tells what is measured here; elsewhere these give `null`. A process counts together with its children. */

/** The most memory that a process and those it started ever had resident, in bytes; their peaks are added up. */
export function peakMemory(pid: number): number | null {
  return sumOver(pid, (each) => {
    const match = /^VmHWM:\s+(\d+) kB/m.exec(readProc(`${each}/status`) ?? "");
    return match === null ? null : Number(match[1]) * 1024;
  });
}

/** Processor time of all threads of a process and those it started so far, in milliseconds. */
export function cpuTime(pid: number): number | null {
  return sumOver(pid, (each) => {
    const stat = readProc(`${each}/stat`);
    if (stat === null) return null;
    // The name in parentheses may hold anything; the third field comes after the last one.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 1000 / CLOCK_TICKS;
  });
}

/** `USER_HZ`, which Linux has fixed for programs. */
const CLOCK_TICKS = 100;

function sumOver(pid: number, measure: (pid: number) => number | null): number | null {
  const own = measure(pid);
  if (own === null) return null;
  const children = (readProc(`${pid}/task/${pid}/children`) ?? "").split(" ").filter((text) =>
    text.trim() !== ""
  );
  return children.reduce((sum, child) => sum + (sumOver(Number(child), measure) ?? 0), own);
}

function readProc(path: string): string | null {
  try {
    return Deno.readTextFileSync(`/proc/${path}`);
  } catch {
    return null;
  }
}
