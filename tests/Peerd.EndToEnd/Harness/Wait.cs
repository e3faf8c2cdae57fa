using System.Net;

namespace Peerd.EndToEnd.Harness;

/// <summary>Waits for what a process outside of this one does, which nothing here can signal.</summary>
internal static class Wait
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);

    /// <summary>Returns when the condition holds.</summary>
    /// <param name="what">What is waited for, for the error text.</param>
    /// <param name="process">Its end makes further waiting useless; null when none is to be watched.</param>
    /// <param name="condition">Looked at again and again.</param>
    /// <param name="timeout">How long to wait.</param>
    /// <exception cref="TimeoutException">The condition did not come to hold.</exception>
    public static async Task UntilAsync(string what, RunningProcess? process, Func<Task<bool>> condition, TimeSpan timeout)
    {
        using var deadline = new CancellationTokenSource(timeout);
        while (!await condition())
        {
            if (process is { HasExited: true })
            {
                throw new InvalidOperationException($"{process.Name} ended while waiting until {what}.\n{process.Tail()}");
            }

            try
            {
                await Task.Delay(Pause, deadline.Token);
            }
            catch (OperationCanceledException e)
            {
                throw new TimeoutException($"waited {timeout.TotalSeconds:0} s in vain until {what}.\n{process?.Tail()}", e);
            }
        }
    }

    /// <summary>Returns when a GET of this URL answers 200.</summary>
    /// <param name="url">What is asked for.</param>
    /// <param name="process">Who should answer.</param>
    /// <param name="timeout">How long to wait.</param>
    /// <param name="host">Where to ask from; null is this process's own network.</param>
    /// <exception cref="TimeoutException">No such answer came.</exception>
    public static Task UntilOkAsync(Uri url, RunningProcess process, TimeSpan timeout, LabHost? host = null) =>
        UntilAnswerAsync(url, [HttpStatusCode.OK], process, timeout, host);

    /// <summary>Returns when a GET of this URL has one of these answers.</summary>
    /// <param name="url">What is asked for.</param>
    /// <param name="accepted">Status codes.</param>
    /// <param name="process">Who should answer.</param>
    /// <param name="timeout">How long to wait.</param>
    /// <param name="host">Where to ask from; null is this process's own network.</param>
    /// <exception cref="TimeoutException">No such answer came.</exception>
    public static async Task UntilAnswerAsync(Uri url, HttpStatusCode[] accepted, RunningProcess process, TimeSpan timeout, LabHost? host = null)
    {
        using var client = host?.CreateClient() ?? new HttpClient();
        client.Timeout = TimeSpan.FromSeconds(5);
        await UntilAsync($"{url} answers {string.Join(" or ", accepted.Select(status => (int)status))}", process, AnswersAsync, timeout);

        async Task<bool> AnswersAsync()
        {
            try
            {
                using var response = await client.GetAsync(url);
                return accepted.Contains(response.StatusCode);
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
            {
                return false;
            }
        }
    }
}
