namespace Peerd.Tests;

/// <summary>
/// Tests that run when no others do: they hold for nodes that get to run within half a second, as a ring change asks for.
/// </summary>
[CollectionDefinition(nameof(AloneOnTheMachine), DisableParallelization = true)]
public sealed class AloneOnTheMachine;
