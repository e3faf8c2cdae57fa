using System.Runtime.Versioning;

// Processes are measured through /proc.
[assembly: SupportedOSPlatform("linux")]
