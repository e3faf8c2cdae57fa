namespace Peerd.Simulation.Network;

/// <summary>Both ends of one flow of frames: what its sender has, and where the frames arrive.</summary>
internal interface ITransfer
{
    /// <summary>The sender has this frame.</summary>
    bool HasFrame(int frame);

    /// <summary>The sender has not got the frame that comes next; <see cref="FrameNetwork.Wake"/> tells when it has.</summary>
    void Starved(int frame);

    /// <summary>A frame is wholly at the receiver. The flow is gone when it was the last one.</summary>
    void Arrived(int frame);
}
