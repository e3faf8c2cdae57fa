using System.Runtime.CompilerServices;
using Peerd.Contracts;

namespace Peerd.Tests.Contracts;

/// <summary>In all tests a buffer that was given back holds poison: a body that is read from it is not what the test expects.</summary>
internal static class PoisonedBuffers
{
    [ModuleInitializer]
    internal static void Poison() => PooledBuffer.PoisonOnReturn = true;
}
