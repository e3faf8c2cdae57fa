using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;
using Peerd.Node.Limits;

namespace Peerd.Node.Facade;

/// <summary>How many requests are being answered, and whether there is room for one more. Thread-safe.</summary>
internal sealed class FacadeLoad(IOptions<LimitOptions> options, HeldMemory memory)
{
    private readonly int _most = options.Value.RequestsValue;
    private readonly int _mostOfConnection = options.Value.RequestsPerConnectionValue;
    private int _open;

    /// <summary>Takes a place; false when there is none. <see cref="Leave"/> when the request that has one is over.</summary>
    public bool TryEnter()
    {
        if ((Interlocked.Increment(ref _open) <= _most || _most == 0) && !memory.IsOver)
        {
            return true;
        }

        // Who is sent elsewhere takes no place from others.
        Leave();
        return false;
    }

    public void Leave() => Interlocked.Decrement(ref _open);

    /// <summary>Says so in the answer if its connection has been used often enough.</summary>
    public void Count(HttpContext context)
    {
        if (_mostOfConnection == 0)
        {
            return;
        }

        // Requests of one HTTP/1.1 connection come one after the other.
        var items = context.Features.GetRequiredFeature<IConnectionItemsFeature>().Items;
        var count = items.TryGetValue(typeof(FacadeLoad), out var before) ? (int)before! + 1 : 1;
        items[typeof(FacadeLoad)] = count;
        if (count >= _mostOfConnection)
        {
            context.Response.Headers.Connection = "close";
        }
    }
}
