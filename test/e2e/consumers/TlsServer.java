import java.io.IOException;
import java.net.InetAddress;
import java.security.KeyStore;
import java.security.Provider;
import java.security.Security;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.KeyStoreBuilderParameters;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;

/**
 * A TLS server with a private key of SunPKCS11, on a free port that it prints. Argument: the provider's
 * configuration file. The token's PIN is in TOKEN_PIN. Ends when it is killed.
 */
public final class TlsServer {
  private TlsServer() {}

  public static void main(String[] arguments) throws Exception {
    Provider token = Security.getProvider("SunPKCS11").configure(arguments[0]);
    Security.addProvider(token);
    char[] pin = System.getenv("TOKEN_PIN").toCharArray();
    KeyStore keys = KeyStore.getInstance("PKCS11", token);
    keys.load(null, pin);

    KeyManagerFactory managers = KeyManagerFactory.getInstance("NewSunX509");
    managers.init(
        new KeyStoreBuilderParameters(
            KeyStore.Builder.newInstance(keys, new KeyStore.PasswordProtection(pin))));
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(managers.getKeyManagers(), null, null);

    SSLServerSocket listener =
        (SSLServerSocket)
            context.getServerSocketFactory()
                .createServerSocket(0, 50, InetAddress.getLoopbackAddress());
    System.out.println("listening on " + listener.getLocalPort());
    while (true) {
      try (SSLSocket socket = (SSLSocket) listener.accept()) {
        socket.startHandshake();
      } catch (IOException refused) {
        System.out.println("refused: " + refused.getMessage());
      }
    }
  }
}
