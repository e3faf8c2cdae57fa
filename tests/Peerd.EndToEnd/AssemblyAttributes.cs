using System.Runtime.Versioning;
using Xunit.Sdk;
using Xunit.v3;

// Each test starts up to a dozen processes: one test at a time.
[assembly: Parallelization(Mode = ParallelMode.None)]

// containerd, signals, /proc.
[assembly: SupportedOSPlatform("linux")]
