namespace Peerd.Simulation.Events;

/// <summary>What kind of thing happens.</summary>
internal enum EventKind
{
    /// <summary>A call that somebody put off; the subject is its place among the calls.</summary>
    Call,

    /// <summary>The uplink of the subject has sent a frame and is free.</summary>
    UplinkFree,

    /// <summary>A frame of the flow (subject) is wholly here; the detail is its number.</summary>
    FrameArrived,
}

/// <summary>Something that happens at a time.</summary>
internal readonly record struct Event(EventKind Kind, int Subject, int Detail = 0);

/// <summary>Takes the events that are not calls.</summary>
internal interface IEventHandler
{
    void Handle(Event what);
}
