using Peerd.Node.Facade;

namespace Peerd.Node.Cli.Doctor;

/// <summary>What is where a facade should be: a facade when both are null.</summary>
/// <param name="Stranger">What another server says there; null when none does.</param>
/// <param name="Failure">Why nothing answers; null when something does.</param>
internal sealed record FacadeAnswer(string? Stranger, string? Failure)
{
    private static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(3);

    /// <summary>Asks there as containerd begins. Only a facade answers as a registry does and gives the name of the request back, also when it has too much to do.</summary>
    public static async Task<FacadeAnswer> OfAsync(Uri facade, CancellationToken cancellationToken)
    {
        var id = $"doctor-{Guid.NewGuid():N}";
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false }) { Timeout = AnswerTime };
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(facade, "/v2/"));
        request.Headers.Add(FacadeRequest.IdHeader, id);
        try
        {
            using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            var isFacade = response.Headers.Contains(RegistryHeaders.ApiVersion) && response.Headers.TryGetValues(FacadeRequest.IdHeader, out var ids) && ids.Contains(id, StringComparer.Ordinal);
            return new FacadeAnswer(isFacade ? null : $"it said {(int)response.StatusCode} to /v2/{(response.IsSuccessStatusCode ? ", but not as a facade does" : string.Empty)}", Failure: null);
        }
        catch (HttpRequestException exception) when (exception.HttpRequestError is HttpRequestError.InvalidResponse or HttpRequestError.ResponseEnded)
        {
            return new FacadeAnswer("it does not speak HTTP", Failure: null);
        }
        catch (HttpRequestException exception)
        {
            return new FacadeAnswer(Stranger: null, exception.Message);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new FacadeAnswer(Stranger: null, $"no answer within {AnswerTime.TotalSeconds:0} s");
        }
    }
}
